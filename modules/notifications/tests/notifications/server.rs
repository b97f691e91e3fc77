//! A small mail server on loopback that can be told to misbehave at any point of a mail.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// Points of a mail: what the client said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Connected,
    Hello,
    Sender,
    Recipient,
    Data,
    /// The line that ends the data: from here on the server has the mail.
    End,
}

pub const POINTS: [Point; 6] = [
    Point::Connected,
    Point::Hello,
    Point::Sender,
    Point::Recipient,
    Point::Data,
    Point::End,
];

/// What the server does there instead of its duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whim {
    /// Refuses. Refused data are not kept.
    Answer(&'static str),
    /// Answers what makes no sense.
    Garbage,
    /// Answers a line without an end.
    Flood,
    /// Says nothing any more.
    Hang,
    /// Hangs up.
    Close,
    /// Answers rightly, a byte at a time.
    Drip,
}

#[derive(Default)]
struct State {
    whim: Option<(Point, Whim)>,
    mails: Vec<(String, String)>,
    connections: usize,
    /// What clients said, and whether it could not be overheard.
    said: Vec<(String, bool)>,
}

/// How it speaks TLS.
#[derive(Clone)]
pub enum Tls {
    None,
    /// When it is asked to.
    Starts(TlsAcceptor),
    /// From the beginning.
    Wraps(TlsAcceptor),
}

/// The server.
pub struct Server {
    pub port: u16,
    state: Arc<Mutex<State>>,
    listening: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with_tls(Tls::None).await
    }

    pub async fn with_tls(tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let listening = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.lock().unwrap().connections += 1;
                // A client that goes away ends its session.
                tokio::spawn(serve(Box::new(stream), shared.clone(), tls.clone()));
            }
        });
        Self { port, state, listening }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From here on it does so there; `None`: its duty.
    pub fn whim(&self, whim: Option<(Point, Whim)>) {
        self.state().whim = whim;
    }

    /// Recipients and mails that it has.
    pub fn mails(&self) -> Vec<(String, String)> {
        self.state().mails.clone()
    }

    /// What clients said, and whether it could not be overheard.
    pub fn said(&self) -> Vec<(String, bool)> {
        self.state().said.clone()
    }

    pub fn connections(&self) -> usize {
        self.state().connections
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

struct Session {
    stream: BufReader<Box<dyn Stream>>,
    state: Arc<Mutex<State>>,
    /// It can be asked for TLS.
    starts: bool,
    secret: bool,
}

type End = Option<()>;

async fn secured(stream: Box<dyn Stream>, acceptor: &TlsAcceptor) -> Option<Box<dyn Stream>> {
    let stream = acceptor.accept(stream).await.ok()?;
    Some(Box::new(stream))
}

async fn serve(stream: Box<dyn Stream>, state: Arc<Mutex<State>>, tls: Tls) -> End {
    let (stream, starts, secret) = match &tls {
        Tls::Wraps(acceptor) => (secured(stream, acceptor).await?, false, true),
        Tls::Starts(_) => (stream, true, false),
        Tls::None => (stream, false, false),
    };
    let mut session = Session {
        stream: BufReader::new(stream),
        state: state.clone(),
        starts,
        secret,
    };
    session.answer(Point::Connected, "220 here\r\n").await?;
    session.run().await?;
    // It was asked for TLS.
    let Tls::Starts(acceptor) = tls else { return None };
    let stream = secured(session.stream.into_inner(), &acceptor).await?;
    let mut session = Session {
        stream: BufReader::new(stream),
        state,
        starts: false,
        secret: true,
    };
    session.run().await
}

impl Session {
    /// Returns something when it was asked for TLS.
    async fn run(&mut self) -> End {
        let mut recipient = String::new();
        loop {
            let line = self.line().await?;
            let verb = line.split([' ', ':', '\r']).next()?.to_ascii_uppercase();
            self.state.lock().unwrap().said.push((verb.clone(), self.secret));
            match verb.as_str() {
                "EHLO" => {
                    let can = if self.starts {
                        "250-STARTTLS\r\n"
                    } else {
                        "250-AUTH PLAIN\r\n"
                    };
                    let can = format!("250-here\r\n{can}250 8BITMIME\r\n");
                    self.answer(Point::Hello, &can).await?;
                }
                "STARTTLS" if self.starts => {
                    self.say("220 go on\r\n").await?;
                    return Some(());
                }
                "AUTH" => {
                    self.say("235 welcome\r\n").await?;
                }
                "MAIL" => {
                    self.answer(Point::Sender, "250 so be it\r\n").await?;
                }
                "RCPT" => {
                    line.trim().clone_into(&mut recipient);
                    self.answer(Point::Recipient, "250 so be it\r\n").await?;
                }
                "DATA" => {
                    if self.answer(Point::Data, "354 go on\r\n").await? {
                        self.data(&recipient).await?;
                    }
                }
                "QUIT" => return None,
                _ => {
                    self.say("500 what?\r\n").await?;
                }
            }
        }
    }

    async fn data(&mut self, recipient: &str) -> End {
        let mut data = String::new();
        loop {
            match self.line().await?.as_str() {
                ".\r\n" => break,
                line => data.push_str(line.strip_prefix('.').unwrap_or(line)),
            }
        }
        if !matches!(self.whim(Point::End), Some(Whim::Answer(_))) {
            self.state.lock().unwrap().mails.push((recipient.to_owned(), data));
        }
        self.answer(Point::End, "250 I have it\r\n").await.map(drop)
    }

    fn whim(&self, point: Point) -> Option<Whim> {
        let whim = self.state.lock().unwrap().whim;
        whim.filter(|(at, _)| *at == point).map(|(_, whim)| whim)
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.ok()?;
        (read > 0).then_some(line)
    }

    /// Whether it answered what it should; `None` ends the session.
    async fn answer(&mut self, point: Point, duty: &str) -> Option<bool> {
        match self.whim(point) {
            None => self.say(duty).await,
            Some(Whim::Answer(line)) => self.say(&format!("{line}\r\n")).await.map(|_| false),
            Some(Whim::Garbage) => self.say("\u{1}\u{2} <html>\r\n").await,
            Some(Whim::Close) => None,
            Some(Whim::Hang) => std::future::pending().await,
            Some(Whim::Flood) => loop {
                self.say(&"250-x".repeat(10_000)).await?;
            },
            Some(Whim::Drip) => {
                for byte in duty.chars() {
                    self.say(&byte.to_string()).await?;
                    // On purpose: each byte is to come by itself.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Some(true)
            }
        }
    }

    async fn say(&mut self, text: &str) -> Option<bool> {
        self.stream.write_all(text.as_bytes()).await.ok()?;
        self.stream.flush().await.ok()?;
        Some(true)
    }
}
