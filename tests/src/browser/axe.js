// Every rule that axe has, on the page as it is now.
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ['violations'] }).then(
  (found) => done(found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${rule.help}: ${node.html.slice(0, 200)} (${(node.any[0] || node.all[0] || node.none[0] || { message: '' }).message})`))),
  (error) => done([`axe failed: ${error}`]),
);
