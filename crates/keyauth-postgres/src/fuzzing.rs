//! What the fuzz targets of `tests/fuzz` check of what is private here.

use keyauth_core::{Change, Subject};

use crate::change::{Columns, columns};

/// Whatever stands in the columns of a change, which are lines here: it is a change that says just
/// that, or an error, and never another change.
///
/// # Panics
///
/// Where a property does not hold.
pub fn change(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let kind = lines.next().unwrap_or_default();
    let (tenant, subject) = (lines.next(), lines.next());
    let version = lines.next().and_then(|version| version.parse().ok());
    let digest = lines.next().map(str::as_bytes);
    match (Columns { kind, tenant, subject, version, digest }).change() {
        Ok(Change::Raised(raised, at)) => {
            assert_eq!(i64::try_from(at.get()).ok(), version);
            let (found, of, name) = columns(&raised);
            assert_eq!(found, kind);
            if let Subject::Tenant(_) | Subject::Owner(..) | Subject::Group(..) = &raised {
                assert_eq!(of, tenant);
            }
            if let Subject::Owner(..) | Subject::Group(..) = &raised {
                assert_eq!(name.as_deref(), subject);
            }
            if let Subject::Key(key) = &raised {
                let digits = |text: &str| text.replace(|c: char| !c.is_ascii_hexdigit(), "");
                let subject = subject.unwrap_or_default().to_ascii_lowercase();
                // It may be written as a URN.
                assert!(digits(&subject).ends_with(&digits(&key.to_string())), "{subject}");
            }
        }
        Ok(Change::NewSecret(secret)) => {
            assert_eq!((kind, digest), ("secret", Some(&secret.as_bytes()[..])));
        }
        Ok(other) => assert_eq!((kind, other), ("secrets", Change::NewSecrets)),
        Err(_) => {}
    }
}

#[cfg(test)]
#[test]
fn the_corpus_of_changes() {
    keyauth_testkit::replay("change", change);
}
