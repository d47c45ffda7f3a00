//! What a request may hold: no secret in its URL, and a body that is not too large and comes in time.

use std::error::Error as _;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, Uri, header};
use http_body_util::LengthLimitError;
use hyper_api::{Problem, ProblemKind};

use crate::problems::refusal;

/// Longest wait for a whole body: 10 MiB at 350 kB/s, which any client of ours has.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Parameters that would carry a secret: URLs end up in histories and logs.
const SECRET_PARAMETERS: [&str; 6] = ["api_key", "apikey", "token", "access_token", "password", "secret"];

/// Refuses a URL that carries a secret.
pub(super) fn refuse_secrets_in(uri: &Uri) -> Result<(), Box<Problem>> {
    let names =
        uri.query().unwrap_or_default().split(['&', ';']).map(|pair| pair.split('=').next().unwrap_or_default());
    for name in names {
        if SECRET_PARAMETERS.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
            let why =
                format!("take the request: {} in a URL would be a secret for everybody to read", name.to_lowercase());
            return Err(refusal(ProblemKind::Usage, why));
        }
    }
    Ok(())
}

/// Reads the whole body, so that no handler waits for a client.
pub(super) async fn whole(request: Request, most: usize) -> Result<Request, Box<Problem>> {
    let too_large = || refusal(ProblemKind::TooLarge, format!("receive the request: it has more than {most} bytes"));
    // What goes over an upgraded connection is no body.
    let upgrade = request.method() == Method::GET && request.headers().contains_key(header::UPGRADE);
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| usize::try_from(length).map_or(true, |length| length > most)) {
        return Err(too_large());
    }
    if upgrade {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => Err(too_large()),
        Ok(Err(_)) => Err(refusal(ProblemKind::Usage, "receive the request: its body broke off")),
        Err(_) => Err(refusal(ProblemKind::Usage, "receive the request: its body did not come in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_a_url_are_refused_and_not_repeated() {
        for uri in ["/x?api_key=abc", "/x?a=b&token=abc", "/x?PASSWORD=abc", "/x?a;access_token=abc"] {
            let problem = refuse_secrets_in(&uri.parse().unwrap()).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(!problem.error.contains("abc"), "{}", problem.error);
        }
        for uri in ["/x", "/api_key", "/x?capacities=true", "/x?tokens=3"] {
            refuse_secrets_in(&uri.parse().unwrap()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_body_is_read_whole_or_refused_by_its_size() {
        let sized = |length: usize| {
            let pieces = (0..length >> 10).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1024]));
            Request::new(Body::from_stream(futures_util::stream::iter(pieces)))
        };
        const MOST: usize = 64 << 10;
        let request = whole(sized(MOST), MOST).await.unwrap();
        assert_eq!(to_bytes(request.into_body(), usize::MAX).await.unwrap().len(), MOST);
        let problem = whole(sized(MOST + 1024), MOST).await.unwrap_err();
        assert_eq!(problem.status, 413);
        let mut lying = sized(1024);
        lying.headers_mut().insert(header::CONTENT_LENGTH, (u64::MAX).into());
        assert_eq!(whole(lying, MOST).await.unwrap_err().status, 413);
    }
}
