//! Notifications: hears of orders, and writes to whoever placed them.

use std::{fmt, sync::Arc, time::Duration};

use notifications::{
    NotificationsModule, forget,
    post::{Post, post_trusting},
    sender, subscriptions,
};
use notifications_contract::{NOTIFICATIONS, NotificationsServer, NotificationsService};

use strangler_store::Subscription;

use super::{Module, Started, Work, hears, repeats};
use crate::settings::Settings;

/// Where mails are written when no server is set, in the data folder.
const FOLDER: &str = "mail";
/// How long mails are kept that are over, when nothing is set.
const KEEP_DAYS: u32 = 90;
const DAY: Duration = Duration::from_secs(86_400);
/// How often it is looked for mails to forget.
const SWEEP: Duration = Duration::from_secs(600);

pub(super) const MODULE: Module = Module {
    contract: &NOTIFICATIONS,
    manifest: include_str!("../../../modules/notifications/Cargo.toml"),
    public: false,
    inside: &[],
    acts: &[],
    start: |ground| {
        let db = ground.db.clone();
        let post = post(ground.settings)?;
        let local = NotificationsModule::new(db.clone()).guarded(ground.stats.clone());
        let keep = ground.settings.modules.get(NOTIFICATIONS.name);
        let keep = keep.and_then(|m| m.keep_days).unwrap_or(KEEP_DAYS);
        let (mails, told) = (db.clone(), (ground.log)("ordering")?);
        let forgetting = repeats("forgetting mails", SWEEP, move || {
            let (mails, told) = (mails.clone(), told.clone());
            async move {
                match keep {
                    0 => Ok(()),
                    days => forget(&mails, &*told, DAY * days).await.map(drop),
                }
            }
        });
        let subscriptions = [
            subscriptions::catalog(db.clone(), (ground.log)("catalog")?),
            subscriptions::ordering(db.clone(), (ground.log)("ordering")?),
        ];
        let subscriptions = subscriptions.map(|one| one.with_deck(ground.deck.clone()));
        let hearings = subscriptions.iter().map(Subscription::hearing).collect();
        let hearing = subscriptions.map(hears);
        let heard = subscriptions::catalog(db.clone(), (ground.log)("catalog")?);
        let sending: Work = Box::new(move |turn, stop| {
            let sender = sender(db, post).with_turn(turn).with_catalog(heard);
            Box::pin(async move { sender.run(stop.cancelled()).await })
        });
        Ok(Started {
            server: Arc::new(NotificationsServer::new(local)),
            link: Box::new(|_, _, _| {}),
            work: hearing.into_iter().chain([sending, forgetting]).collect(),
            sagas: None,
            hearings,
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
    let file = own.and_then(|m| m.mail_ca_file.as_deref());
    let authorities = match file.map(|file| (file, std::fs::read(file))) {
        None => Vec::new(),
        Some((_, Ok(pem))) => pem,
        Some((file, Err(why))) => {
            return Err(wrong(
                "mail_ca_file",
                &format_args!("{} cannot be read: {why}", file.display()),
            ));
        }
    };
    post_trusting(&url, from, &authorities).map_err(|why| wrong("mail, from or mail_ca_file", &why))
}
