//! Why something cannot be done as things are: what a button says that is disabled.

use strangler::routes::Route;

use super::{Control, INSTANCES, Running};

impl Control {
    /// Why no further process can be started for this module now; `None` when one can.
    pub fn cannot_extract(&self, running: &Running) -> Option<String> {
        let module = running.contract.name;
        if self.merging().contains(module) {
            return Some(format!("{module} is being merged back at this moment"));
        }
        let there = self.registry.of(module).len();
        (there >= INSTANCES).then(|| format!("{module} has {INSTANCES} instances already, which is the most"))
    }

    /// Why there is nothing to merge back of this module now; `None` when there is.
    pub fn cannot_merge_back(&self, running: &Running) -> Option<String> {
        let module = running.contract.name;
        if self.merging().contains(module) {
            return Some(format!("{module} is being merged back already"));
        }
        let routes = running.switch.routes().all();
        let at_home = routes.module == Route::default() && routes.operations.is_empty();
        let alone = self.registry.of(module).is_empty();
        (at_home && alone).then(|| format!("{module} is local, and no process serves it beside the monolith"))
    }
}
