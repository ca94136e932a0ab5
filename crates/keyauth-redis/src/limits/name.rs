//! What counts are called in Redis.

use std::fmt::Write;

use keyauth_core::{LimitedSubject, SharedPlace};

/// Where somebody's counts are. What ids may hold beside letters, digits and `-._` is escaped, so
/// that no two add up to the same (L11); the tag puts a tenant's on one server of a cluster.
pub(super) fn name(prefix: &str, subject: &LimitedSubject) -> String {
    let (tag, kind, ids): (_, _, Vec<&str>) = match subject {
        LimitedSubject::Key(tenant, key) => {
            return format!("{prefix}:limits:{{{}}}:key:{key}", escaped(tenant.as_str()));
        }
        LimitedSubject::Member(tenant, group, owner) => {
            (tenant.as_str(), "member", vec![group.as_str(), owner.as_str()])
        }
        LimitedSubject::Owner(tenant, owner) => (tenant.as_str(), "owner", vec![owner.as_str()]),
        LimitedSubject::Group(tenant, group) => (tenant.as_str(), "group", vec![group.as_str()]),
        LimitedSubject::Tenant(tenant) => (tenant.as_str(), "tenant", vec![]),
        LimitedSubject::Other(name) => {
            return format!("{prefix}:limits:{{other:{}}}", escaped(name));
        }
        _ => ("", "unknown", vec![]),
    };
    let mut name = format!("{prefix}:limits:{{{}}}:{kind}", escaped(tag));
    for id in ids {
        name.push(':');
        name.push_str(&escaped(id));
    }
    name
}

pub(super) fn name_of_places(prefix: &str, place: &SharedPlace) -> String {
    format!("{}:at_once:{}", name(prefix, &place.subject), escaped(&place.limit))
}

/// Where it stands which turn of a holder was the last, beside the counts of a subject's tenant.
pub(super) fn name_of_turn(prefix: &str, subject: &LimitedSubject, holder: &str) -> String {
    let name = name(prefix, subject);
    let tag = name.split_inclusive('}').next().unwrap_or_default();
    format!("{tag}:turn:{}", escaped(holder))
}

fn escaped(id: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use keyauth_core::{GroupId, KeyId, OwnerId, TenantId};

    use super::*;

    #[test]
    fn no_two_subjects_share_a_name() {
        // L11
        let ids = ["a", "a:b", "b", "{a}", "}", "%3a", ":", "a}:{b", "key:a", "a%3ab"];
        let tenant = |id: &str| TenantId::new(id).expect("a tenant");
        let (owner, group) = (|id: &str| OwnerId::new(id), |id: &str| GroupId::new(id));
        let mut all = vec![LimitedSubject::Key(tenant("a"), KeyId::from_bytes([1; 16]))];
        for first in ids {
            all.push(LimitedSubject::Tenant(tenant(first)));
            all.push(LimitedSubject::Other(first.into()));
            all.push(LimitedSubject::Other(format!("{first}\n").into()));
            for second in ids {
                let (owner, group) = (owner(second).expect("one"), group(second).expect("one"));
                all.push(LimitedSubject::Owner(tenant(first), owner));
                all.push(LimitedSubject::Group(tenant(first), group.clone()));
                for third in ids {
                    let owner = OwnerId::new(third).expect("one");
                    all.push(LimitedSubject::Member(tenant(first), group.clone(), owner));
                }
            }
        }
        let names: HashSet<_> = all.iter().map(|subject| name("p", subject)).collect();
        assert_eq!(names.len(), all.len());
        for name in names {
            assert_eq!(name.matches(['{', '}']).count(), 2, "{name}");
        }
    }
}
