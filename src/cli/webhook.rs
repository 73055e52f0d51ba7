//! `reprise webhook …`: test webhooks, signed as their sender signs them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::time::Instant;
use uuid::Uuid;

use super::failure::{Exit, Failure};
use super::plain::plain;
use super::screen::Screen;
use super::trigger::{bytes_of, environment};
use super::words::span;

/// The commands about test webhooks.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Send a signed webhook, and show the answer; exit code 1 unless it is a success
    Send(Box<SendArgs>),
    /// Print the headers with which a sender would sign a body
    Sign(SignArgs),
}

/// What is signed, and how.
#[derive(Debug, Clone, Args)]
pub struct SignArgs {
    /// Whose way to sign.
    #[arg(long, value_enum, default_value = "github")]
    source: Signer,
    /// Environment variable with the secret.
    #[arg(long, value_name = "NAME")]
    secret_env: String,
    /// File with the body; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    payload_file: PathBuf,
    /// Kind of the event, such as `pull_request`; not every sender names it in a header.
    #[arg(long, value_name = "KIND")]
    event: Option<String>,
    /// The sender's id of the delivery. Default: a new one.
    #[arg(long, value_name = "ID")]
    delivery_id: Option<String>,
}

/// Where a webhook goes.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// Webhook address of the trigger, `http://…`.
    #[arg(long)]
    url: String,
    #[command(flatten)]
    sign: SignArgs,
}

/// Senders whose way to sign is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Signer {
    /// `X-Hub-Signature-256`.
    Github,
    /// `Linear-Signature`.
    Linear,
    /// `X-Signature`.
    Clickup,
    /// `webhook-signature`.
    StandardWebhooks,
}

/// What a receiver answered.
#[derive(Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// Body of the answer.
    pub(crate) body: String,
    /// Time until it was there.
    pub(crate) took: Duration,
}

/// Carries out a command about test webhooks.
pub(crate) async fn run(command: WebhookCommand, screen: &mut Screen) -> Result<Exit, Failure> {
    match command {
        WebhookCommand::Sign(args) => {
            let (headers, _) = signed(&args)?;
            headers.iter().try_for_each(|(name, value)| screen.line(format!("{name}: {value}")))?;
            Ok(Exit::Success)
        }
        WebhookCommand::Send(args) => {
            let (headers, body) = signed(&args.sign)?;
            let reply = send(args.url, headers, body).await?;
            if screen.is_json() {
                screen.line(&reply.body)?;
            } else {
                screen.line(format!("{} in {}  {}", reply.status, span(reply.took), plain(&reply.body).trim()))?;
            }
            Ok(if (200..300).contains(&reply.status) { Exit::Success } else { Exit::Unwell })
        }
    }
}

type Headers = Vec<(String, String)>;

fn signed(args: &SignArgs) -> Result<(Headers, Vec<u8>), Failure> {
    let body = bytes_of(&args.payload_file)?;
    let secret = environment(&args.secret_env)?;
    let id = args.delivery_id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let headers = headers(args.source, &secret, &id, args.event.as_deref(), jiff::Timestamp::now().as_second(), &body)?;
    Ok((headers, body))
}

/// The headers of a delivery as its sender makes them.
pub(crate) fn headers(signer: Signer, secret: &str, id: &str, event: Option<&str>, now: i64, body: &[u8]) -> Result<Headers, Failure> {
    let hex_of = |key: &[u8]| Ok::<_, Failure>(hex::encode(mac(key, &[body])?));
    let mut headers: Vec<(&str, String)> = vec![("content-type", "application/json".into())];
    let event = event.map(str::to_owned);
    match signer {
        Signer::Github => {
            headers
                .extend([("x-github-delivery", id.to_owned()), ("x-hub-signature-256", format!("sha256={}", hex_of(secret.as_bytes())?))]);
            headers.extend(event.map(|event| ("x-github-event", event)));
        }
        Signer::Linear => {
            headers.extend([("linear-delivery", id.to_owned()), ("linear-signature", hex_of(secret.as_bytes())?)]);
            headers.extend(event.map(|event| ("linear-event", event)));
        }
        Signer::Clickup => headers.push(("x-signature", hex_of(secret.as_bytes())?)),
        Signer::StandardWebhooks => {
            let key = STANDARD
                .decode(secret.trim_start_matches("whsec_"))
                .map_err(|_| Failure::Usage("the secret is not `whsec_` and base64".into()))?;
            let signature = STANDARD.encode(mac(&key, &[format!("{id}.{now}.").as_bytes(), body])?);
            headers.extend([
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", now.to_string()),
                ("webhook-signature", format!("v1,{signature}")),
            ]);
        }
    }
    Ok(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| Failure::Other(error.to_string()))?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes().to_vec())
}

/// Posts a webhook and waits for the answer.
pub(crate) async fn send(url: String, headers: Headers, body: Vec<u8>) -> Result<Reply, Failure> {
    let posted = tokio::task::spawn_blocking(move || post(&url, &headers, &body)).await;
    posted.map_err(|error| Failure::Other(error.to_string()))?
}

/// One request over a plain connection; a test webhook needs no more of HTTP than this.
fn post(url: &str, headers: &Headers, body: &[u8]) -> Result<Reply, Failure> {
    let rest = url.strip_prefix("http://").ok_or_else(|| Failure::Usage("test webhooks go to `http://…` addresses only".into()))?;
    let (host, path) = rest.split_once('/').map_or((rest, String::from("/")), |(host, path)| (host, format!("/{path}")));
    if path.chars().chain(host.chars()).any(|c| c.is_whitespace() || c.is_control())
        || headers.iter().any(|(_, value)| value.contains(['\r', '\n']))
    {
        return Err(Failure::Usage("the address or a header has characters that may not stand there".into()));
    }
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nuser-agent: reprise-cli\r\n");
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let target = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let unreachable = |error: std::io::Error| Failure::Other(format!("cannot reach {target}: {error}"));
    let mut stream = TcpStream::connect(&target).map_err(unreachable)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    let begun = Instant::now();
    stream.write_all(&bytes)?;
    let mut answer = Vec::new();
    stream.take(4 << 20).read_to_end(&mut answer)?;
    let took = begun.elapsed();
    let (status, body) = parse(&answer).ok_or_else(|| Failure::Other(format!("{target} does not speak HTTP")))?;
    Ok(Reply { status, body, took })
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
    let status = head.lines().next()?.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?;
    let body = &answer[end + 4..];
    let chunked = head.lines().any(|line| line.starts_with("transfer-encoding:") && line.contains("chunked"));
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(headers: &Headers, name: &str) -> String {
        headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).expect(name)
    }

    #[test]
    fn signatures_are_those_of_the_senders() {
        // The example of GitHub's own documentation.
        let github = headers(Signer::Github, "It's a Secret to Everybody", "1", Some("push"), 0, b"Hello, World!").expect("signed");
        assert_eq!(value(&github, "x-hub-signature-256"), "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
        assert_eq!(value(&github, "x-github-event"), "push");
        // The example of the Standard Webhooks specification.
        let standard = headers(
            Signer::StandardWebhooks,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            None,
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        )
        .expect("signed");
        assert_eq!(value(&standard, "webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(headers(Signer::StandardWebhooks, "not base64!", "1", None, 0, b"").is_err());
    }

    #[test]
    fn answers_are_read_with_and_without_chunks() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), Some((200, "ok".into())));
        assert_eq!(
            parse(b"HTTP/1.1 401 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"),
            Some((401, "abcde".into()))
        );
        assert_eq!(parse(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort"), None);
    }
}
