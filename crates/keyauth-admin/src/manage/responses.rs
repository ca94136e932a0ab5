//! What the document says of answers that are no success.

use utoipa::IntoResponses;

use crate::problem::ProblemBody;

/// Those that any request may get.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the document")]
pub(super) enum Refused {
    /// Something of the request is wrong, and named.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// There is no key, or one that is not let through.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(ProblemBody),
    /// The key lacks a scope, or may not be used from here.
    #[response(status = 403, content_type = "application/problem+json")]
    Denied(ProblemBody),
    /// A limit is used up; see `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(ProblemBody),
    /// There is no answer at present.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}

/// That of requests about something, be it a tenant.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the document")]
pub(super) enum NotThere {
    /// It is not there, or not in this tenant.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
}

/// Those of requests with a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the document")]
pub(super) enum BodyRefused {
    /// The body is larger than 2 MiB.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// The body is no JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
}

/// That of requests that do not fit how things are.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the document")]
pub(super) enum Conflicts {
    /// It cannot be as things are; `code` says why.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
}

/// That of requests that can have a name.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the document")]
pub(super) enum NameTaken {
    /// Another request has the same `Idempotency-Key`.
    #[response(status = 422, content_type = "application/problem+json")]
    NameTaken(ProblemBody),
}
