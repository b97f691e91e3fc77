//! Notifications: hears of orders, and writes to whoever placed them.

use std::{fmt, sync::Arc};

use notifications::{
    NotificationsModule,
    post::{Post, post_of},
    sender, subscriptions,
};
use notifications_contract::{NOTIFICATIONS, NotificationsServer, NotificationsService};

use super::{Module, Started, Work, hears};
use crate::settings::Settings;

/// Where mails are written when no server is set, in the data folder.
const FOLDER: &str = "mail";

pub(super) const MODULE: Module = Module {
    contract: &NOTIFICATIONS,
    public: false,
    inside: &[],
    acts: &[],
    start: |ground| {
        let db = ground.db.clone();
        let post = post(ground.settings)?;
        let local = NotificationsModule::new(db.clone()).guarded(ground.stats.clone());
        let hearing = [
            hears(subscriptions::catalog(db.clone(), (ground.log)("catalog")?)),
            hears(subscriptions::ordering(db.clone(), (ground.log)("ordering")?)),
        ];
        let sending: Work = Box::new(move |turn, stop| {
            let sender = sender(db, post).with_turn(turn);
            Box::pin(async move { sender.run(stop.cancelled()).await })
        });
        Ok(Started {
            server: Arc::new(NotificationsServer::new(local)),
            link: Box::new(|_, _, _| {}),
            work: hearing.into_iter().chain([sending]).collect(),
        })
    },
    reach: |_, _| {},
};

fn post(settings: &Settings) -> Result<Arc<dyn Post>, String> {
    let own = settings.modules.get(NOTIFICATIONS.name);
    let wrong = |key: &str, why: &dyn fmt::Display| format!("modules.notifications.{key}: {why}");
    let from = own
        .and_then(|m| m.from.as_deref())
        .unwrap_or("Banyan Box Office <box-office@banyan.example>");
    let folder = || format!("file:{}", settings.data.folder.join(FOLDER).display());
    let url = own
        .and_then(|m| m.mail.as_ref())
        .map_or_else(folder, |url| url.expose().to_owned());
    post_of(&url, from).map_err(|why| wrong("mail, or from", &why))
}
