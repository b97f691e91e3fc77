//! The address of a mail server.

use lettre::transport::smtp::{
    authentication::Credentials,
    client::{Certificate, TlsParameters, TlsParametersBuilder},
    extension::ClientId,
};
use percent_encoding::percent_decode_str;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use url::{Host, Url};

/// Where a mail server is, and how it is spoken to.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) credentials: Option<Credentials>,
    /// What this side says its name is.
    pub(super) hello: ClientId,
}

/// Whether what is said can be overheard.
pub(super) enum Security {
    /// It can.
    Plain,
    /// It cannot, if the server has STARTTLS.
    IfItCan(TlsParameters),
    /// STARTTLS, or nothing is said.
    Required(TlsParameters),
    /// TLS from the beginning.
    Wrapped(TlsParameters),
}

impl Server {
    /// Reads `smtp://…` and `smtps://…`; see [`post_trusting`](crate::post::post_trusting).
    pub(super) fn read(text: &str, authorities: &[u8]) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|e| format!("the address of the mail server cannot be read: {e}"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or("the address of the mail server names no host")?;
        // An IPv6 address is written in brackets in a URL and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut tls = None;
        for (key, value) in url.query_pairs() {
            match (&*key, &*value) {
                ("tls", "none" | "opportunistic" | "required") if url.scheme() == "smtp" && tls.is_none() => {
                    tls = Some(value.into_owned());
                }
                _ => return Err("of a mail server's address one thing can be said: ?tls=required, opportunistic or none, after smtp://".to_owned()),
            }
        }
        let loopback = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            // The address of a scheme that is not the web's is not parsed further.
            _ => host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        };
        let own = certificates(authorities)?;
        let parameters = || {
            let tls = TlsParameters::builder(host.clone());
            let tls = own
                .iter()
                .cloned()
                .fold(tls, TlsParametersBuilder::add_root_certificate);
            tls.build().map_err(|e| format!("TLS to {host} is not possible: {e}"))
        };
        let (security, usual) = match (url.scheme(), tls.as_deref()) {
            ("smtps", _) => (Security::Wrapped(parameters()?), 465),
            (_, Some("required")) => (Security::Required(parameters()?), 587),
            (_, Some("opportunistic")) => (Security::IfItCan(parameters()?), 587),
            (_, Some(_)) => (Security::Plain, 25),
            (_, None) if loopback => (Security::Plain, 25),
            (_, None) => {
                return Err(format!(
                    "mail to {host} could be read on the way; write smtps://, ?tls=required, or ?tls=none if that is meant"
                ));
            }
        };
        let credentials = credentials(&url)?;
        if credentials.is_some() && matches!(security, Security::Plain | Security::IfItCan(_)) && !loopback {
            return Err(format!(
                "the password for {host} could be read on the way; write smtps:// or ?tls=required"
            ));
        }
        Ok(Self {
            port: url.port().unwrap_or(usual),
            hello: hello(url.path())?,
            host,
            security,
            credentials,
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let wrong = || "what should be the certificates of authorities is no PEM with certificates in it".to_owned();
    let read = |der: CertificateDer<'_>| Certificate::from_der(der.to_vec()).map_err(|_| wrong());
    let each = CertificateDer::pem_slice_iter(pem).map(|der| read(der.map_err(|_| wrong())?));
    let certificates: Vec<_> = each.collect::<Result<_, _>>()?;
    // A file with nothing in it that counts is a mistake.
    if certificates.is_empty() && !pem.is_empty() {
        return Err(wrong());
    }
    Ok(certificates)
}

fn credentials(url: &Url) -> Result<Option<Credentials>, String> {
    let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("the name or the password for the mail server is not UTF-8".to_owned()),
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) if !user.is_empty() => Ok(Some(Credentials::new(decode(user)?, decode(password)?))),
        _ => Err("a mail server asks for a name and a password: write smtps://name:password@host".to_owned()),
    }
}

fn hello(path: &str) -> Result<ClientId, String> {
    let name = path.trim_matches('/');
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    match name {
        "" => Ok(ClientId::default()),
        _ if plain && name.len() <= 253 => Ok(ClientId::Domain(name.to_owned())),
        _ => Err(
            "the path of the mail server's address is the name this side says it has, such as /shop.example.org"
                .to_owned(),
        ),
    }
}
