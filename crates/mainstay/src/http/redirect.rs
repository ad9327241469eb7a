use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, LOCATION,
    PROXY_AUTHORIZATION,
};
use http::{HeaderMap, Method, StatusCode};

use super::draft::Draft;
use super::error::RedirectRefused;

/// Where an answer sends the client, and with what (RFC 9110, section 15.4); the answer stands if there
/// is nothing.
pub(crate) fn follow(
    mut draft: Draft,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<Draft>, RedirectRefused> {
    let becomes_get = match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => draft.method == Method::POST,
        StatusCode::SEE_OTHER => draft.method != Method::HEAD,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
        _ => return Ok(None),
    };
    let Some(location) = headers.get(LOCATION) else {
        return Ok(None);
    };
    let refused = || {
        let location = String::from_utf8_lossy(location.as_bytes());
        RedirectRefused::Location(location.chars().take(200).collect())
    };
    let location = location.to_str().map_err(|_| refused())?;
    let url = draft.url.join(location).map_err(|_| refused())?;
    if draft.url.scheme() == "https" && url.scheme() == "http" {
        return Err(RedirectRefused::Downgrade);
    }
    if url.origin() != draft.url.origin() {
        for secret in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST] {
            draft.headers.remove(secret);
        }
    }
    if becomes_get {
        draft.method = Method::GET;
        draft.body.clear();
        for of_body in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
            draft.headers.remove(of_body);
        }
    }
    draft.go_to(url).map_err(|_| refused())?;
    Ok(Some(draft))
}
