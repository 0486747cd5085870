//! What the path of a request names.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::web::Path;
use actix_web::{FromRequest, HttpRequest};

use super::problem::Problem;

/// What the one variable of a path names. What cannot be a name names nothing: 404, whatever the body says.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<T: FromStr> FromRequest for Named<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let text = Path::<String>::from_request(request, payload).into_inner();
        let named = text.ok().and_then(|text| text.parse().ok());
        ready(named.map(Self).ok_or_else(Problem::nothing_here))
    }
}
