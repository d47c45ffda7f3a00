//! Replies: JSON with a final line end.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Returns `body` as a reply.
pub fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    let media_type = HeaderValue::from_static("application/json");
    match text(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, media_type)], text).into_response(),
        Err(error) => {
            // Nothing of ours has keys that are no text; a path that is no UTF-8 was turned into text before.
            tracing::error!(%error, "a reply cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Returns `body` as it stands in a reply.
///
/// # Errors
/// When it has a value that JSON has no form for.
pub fn text<T: Serialize>(body: &T) -> serde_json::Result<String> {
    let mut text = serde_json::to_string(body)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_json_with_a_final_line_end() {
        assert_eq!(text(&["a"]).unwrap(), "[\"a\"]\n");
        let reply = json(StatusCode::OK, &["a"]);
        assert_eq!(
            (reply.status(), &reply.headers()["content-type"]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
    }
}
