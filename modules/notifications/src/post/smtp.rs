//! Mail over SMTP (RFC 5321), with a watch on how far each mail has come.
//!
//! Until the line that ends a mail's data is written, the server must not deliver it; from then on only its answer says
//! what it did. So what breaks before that line has certainly not happened, and what breaks after it is unknown.

mod address;
mod bounded;

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use address::{Security, Server};
use bounded::Bounded;
use lettre::{
    Address,
    transport::smtp::{
        Error,
        authentication::Mechanism,
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt},
        response::{Response, Severity},
    },
};
use strangler::BoxFuture;
use tokio::{net::TcpStream, time::timeout};

use super::{Failure, Outgoing, Post, Ready, Writer, said};

/// How long everything before the data of a mail may take, and its data with the answer, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(45);
/// How many connections there are at a time: less than the fewest that servers commonly allow one client.
const CONNECTIONS: usize = 10;
/// How many of them are kept for the next mail, for how long, and for how many mails.
const KEPT: usize = CONNECTIONS;
const KEPT_FOR: Duration = Duration::from_secs(5);
const MAILS: u32 = 50;

/// Hands mails to a mail server. Connections are used again for a while.
pub struct Smtp {
    server: Arc<Server>,
    writer: Writer,
    patience: Duration,
    idle: Arc<Idle>,
}

/// Connections on which the last mail went well.
#[derive(Default)]
struct Idle(Mutex<Vec<(Line, Instant)>>);

struct Line {
    connection: AsyncSmtpConnection,
    mails: u32,
}

/// A mail whose sender and recipient the server has taken.
struct Taken {
    line: Line,
    bytes: Vec<u8>,
    patience: Duration,
    idle: Arc<Idle>,
}

impl Smtp {
    /// The server at this address, as [`post_of`](super::post_of) takes it.
    ///
    /// # Errors
    /// A sentence, without the password.
    pub fn new(url: &str, writer: Writer) -> Result<Self, String> {
        Self::trusting(url, writer, &[])
    }

    /// The same, whose certificate may also be signed by one of these authorities, as
    /// [`post_trusting`](super::post_trusting) takes them.
    ///
    /// # Errors
    /// A sentence, without the password.
    pub fn trusting(url: &str, writer: Writer, authorities: &[u8]) -> Result<Self, String> {
        Ok(Self {
            server: Arc::new(Server::read(url, authorities)?),
            writer,
            patience: PATIENCE,
            idle: Arc::default(),
        })
    }

    /// The same, with another bound on the time of each half of a mail: up to its data, and its data with the answer.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A session with the server. Whatever is wrong here is about the two of us and not about the mail: it may pass.
    async fn connect(&self) -> Result<Line, Failure> {
        let Server { host, port, hello, .. } = &*self.server;
        let not_yet = |e: Error| Failure::NotYet(untrusted(&e).unwrap_or_else(|| told(&e)));
        let mut connection = if let Security::Wrapped(tls) = &self.server.security {
            let server = (host.as_str(), *port);
            AsyncSmtpConnection::connect_tokio1(server, Some(self.patience), hello, Some(tls.clone()), None).await
        } else {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream =
                stream.map_err(|e| Failure::NotYet(said(&format!("the mail server cannot be reached: {e}"))))?;
            AsyncSmtpConnection::connect_with_transport(Box::new(Bounded::new(stream)), hello).await
        }
        .map_err(not_yet)?;
        match &self.server.security {
            Security::Required(tls) => connection.starttls(tls.clone(), hello).await.map_err(not_yet)?,
            Security::IfItCan(tls) if connection.can_starttls() => {
                connection.starttls(tls.clone(), hello).await.map_err(not_yet)?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.server.credentials {
            let known = connection
                .auth(&[Mechanism::Plain, Mechanism::Login], credentials)
                .await;
            known.map_err(not_yet)?;
        }
        Ok(Line { connection, mails: 0 })
    }

    async fn announce(&self, line: &mut Line, to: &Address) -> Result<(), Failure> {
        let sender = Mail::new(Some(self.writer.from().clone()), Vec::new());
        line.connection.command(sender).await.map_err(|e| before(&e))?;
        let recipient = Rcpt::new(to.clone(), Vec::new());
        line.connection.command(recipient).await.map_err(|e| before(&e))?;
        Ok(())
    }

    /// A connection on which the server has taken sender and recipient.
    async fn open(&self, to: &Address) -> Result<Line, Failure> {
        while let Some(mut line) = self.idle.take() {
            match self.announce(&mut line, to).await {
                Ok(()) => return Ok(line),
                Err(refused @ Failure::Refused(_)) => return Err(refused),
                // The server may have closed it meanwhile, or had enough of it.
                Err(_) => {}
            }
        }
        let mut line = self.connect().await?;
        self.announce(&mut line, to).await?;
        Ok(line)
    }
}

impl Post for Smtp {
    fn is_repeatable(&self) -> bool {
        false
    }

    fn at_once(&self) -> usize {
        CONNECTIONS
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn prepare<'a>(&'a self, mail: &'a Outgoing) -> BoxFuture<'a, Result<Box<dyn Ready>, Failure>> {
        Box::pin(async move {
            let (to, bytes) = self.writer.write(mail)?;
            let line = match timeout(self.patience, self.open(&to)).await {
                Ok(line) => line?,
                Err(_) => return Err(late(self.patience)),
            };
            let ready: Box<dyn Ready> = Box::new(Taken {
                line,
                bytes,
                patience: self.patience,
                idle: self.idle.clone(),
            });
            Ok(ready)
        })
    }
}

impl Ready for Taken {
    fn hand_over(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            let Self {
                mut line,
                bytes,
                patience,
                idle,
            } = *self;
            let whole = Arc::new(AtomicBool::new(false));
            let outcome = timeout(patience, line.send(&bytes, &whole)).await;
            let is_whole = whole.load(Ordering::SeqCst);
            match outcome {
                Ok(Ok(answer)) if answer.code().severity == Severity::PositiveCompletion => {
                    line.mails += 1;
                    idle.keep(line);
                    Ok(())
                }
                Ok(Ok(answer)) if is_whole => {
                    Err(Failure::Unknown(format!("the mail server answered {}", answer.code())))
                }
                Ok(Ok(answer)) => Err(Failure::NotYet(format!("the mail server answered {}", answer.code()))),
                Ok(Err(error)) if is_whole && error.status().is_none() => Err(Failure::Unknown(told(&error))),
                Ok(Err(error)) => Err(before(&error)),
                Err(_) if is_whole => Err(Failure::Unknown(format!(
                    "the mail server did not answer within {patience:?}"
                ))),
                Err(_) => Err(late(patience)),
            }
        })
    }
}

impl Line {
    /// Sends the data. `whole` is set before the line that ends it is written.
    async fn send(&mut self, bytes: &[u8], whole: &Arc<AtomicBool>) -> Result<Response, Error> {
        let go = self.connection.command(Data).await?;
        if !go.has_code(354) {
            return Ok(go);
        }
        let parts = Parts {
            bytes: Some(bytes),
            whole,
        };
        self.connection.message_iter(parts).await
    }
}

/// The data of a mail, in one part. Whoever writes it asks for the next part when this one is written, is told that there
/// is none, and then writes the line that ends it.
struct Parts<'a> {
    bytes: Option<&'a [u8]>,
    whole: &'a AtomicBool,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let part = self.bytes.take();
        if part.is_none() {
            self.whole.store(true, Ordering::SeqCst);
        }
        part
    }
}

impl Idle {
    fn take(&self) -> Option<Line> {
        let mut idle = self.0.lock().unwrap_or_else(|e| e.into_inner());
        idle.retain(|(_, since)| since.elapsed() < KEPT_FOR);
        idle.pop().map(|(line, _)| line)
    }

    fn keep(&self, line: Line) {
        let mut idle = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if line.mails < MAILS && idle.len() < KEPT {
            idle.push((line, Instant::now()));
        } else {
            drop(line);
        }
    }
}

/// What an error means as long as the mail is not whole, or when the server has answered.
fn before(error: &Error) -> Failure {
    if error.is_permanent() {
        Failure::Refused(told(error))
    } else {
        Failure::NotYet(told(error))
    }
}

fn late(patience: Duration) -> Failure {
    Failure::NotYet(format!("the mail server took longer than {patience:?}"))
}

/// A sentence, when the server's certificate is not believed.
fn untrusted(error: &Error) -> Option<String> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        // What TLS says comes in an error of the connection.
        let tls = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(rustls::Error::InvalidCertificate(why)) = tls.and_then(|tls| tls.downcast_ref()) {
            return Some(format!(
                "the mail server's certificate is not trusted, so nothing was said to it: {}. If an authority of your own \
                 signed it, name the file of its certificates in modules.notifications.mail_ca_file.",
                said(&why.to_string())
            ));
        }
        cause = inner.source();
    }
    None
}

/// What the server said, or what came between.
fn told(error: &Error) -> String {
    said(&format!("the mail server: {error}"))
}
