//! What is recognised, by whom, and what it costs.

use std::cell::RefCell;

use keyauth_core::{KeyStore, LookupErrorKind};

use super::world::{ADMITTED, UNKNOWN, World};

/// Hashes that others have made: by the reference implementations.
#[tokio::test]
async fn hashes_of_others_are_verified() {
    let world = World::start();
    for (text, hash) in [
        (
            "correctbatteryhorsestapler",
            "$2y$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie",
        ),
        (
            "password",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ),
    ] {
        world.import_hash(hash, &text[..6]).await;
        for wrong in [format!("{text}x"), text.replace('s', "S")] {
            assert_eq!(world.verify(&wrong).await, UNKNOWN, "{wrong}");
        }
        assert_eq!(world.verify(text).await, ADMITTED, "{text}");
    }
    world.background.shutdown().await;
}

#[tokio::test]
async fn the_second_use_is_like_any_other() {
    let world = World::start();
    let text = "litellm-0123456789abcdef";
    let key = world.import(text, 4).await;
    assert_eq!(world.verify(text).await, ADMITTED);
    let asked = world.gate.calls();
    for _ in 0..10 {
        assert_eq!(world.verify(text).await, ADMITTED);
    }
    assert_eq!(world.gate.calls(), asked, "it is in the cache");
    world.store.revoke(&key).await.expect("revoked");
    assert_ne!(world.verify(text).await, ADMITTED);
    world.background.shutdown().await;
}

/// Before the right one was presented and after it: it is the whole key that is remembered.
#[tokio::test]
async fn a_wrong_key_with_the_right_beginning_is_refused_warm_too() {
    let world = World::start();
    let (text, wrong) = ("unkey_3ZHuTY3fqbPZ5Z1Q", "unkey_3ZHuTY3fqbPZ5Z1R");
    world.import(text, 4).await;
    for _ in 0..3 {
        assert_eq!(world.verify(wrong).await, UNKNOWN);
    }
    assert_eq!(world.verify(text).await, ADMITTED);
    for _ in 0..3 {
        assert_eq!(world.verify(wrong).await, UNKNOWN);
        assert_eq!(world.verify(text).await, ADMITTED);
    }
    world.background.shutdown().await;
}

/// Of keys that begin alike each is told from the others.
#[tokio::test]
async fn keys_that_begin_alike_are_told_apart() {
    let world = World::start();
    let texts = ["alike-12-first", "alike-12-second", "alike-12-third"];
    let mut keys = Vec::new();
    for text in texts {
        keys.push(world.import(text, 4).await.id);
    }
    for (text, key) in texts.into_iter().zip(keys).rev() {
        let decision = world.auth.verify(text, &keyauth_core::RequestFacts::new()).await;
        let admission = decision.expect("an answer").expect("it is known");
        assert_eq!(admission.key_id(), key, "{text}");
    }
    world.background.shutdown().await;
}

/// bcrypt looks at 72 bytes: whoever knows these of a longer key and no more has not the key.
#[tokio::test]
async fn what_bcrypt_does_not_look_at_is_not_taken_on_trust() {
    let world = World::start();
    let (long, whole) = ("x".repeat(80), "y".repeat(71));
    world.import(&long, 4).await;
    world.import(&whole, 4).await;
    for text in [long.clone(), "x".repeat(72), format!("{}y", "x".repeat(79)), "y".repeat(72)] {
        assert_eq!(world.verify(&text).await, UNKNOWN, "{text}");
    }
    assert_eq!(world.verify(&whole).await, ADMITTED, "it has an end that bcrypt sees");
    world.background.shutdown().await;
}

/// Many who begin with one key at once cost one verification, and all are let in; so is whoever
/// gives up before it is done, and comes again.
#[tokio::test]
async fn a_slow_hash_is_verified_once() {
    let world = World::start();
    let text = "kong-wanted-by-many-0123456789";
    world.import(text, 12).await;
    let impatient = tokio::time::timeout(std::time::Duration::from_millis(20), world.verify(text));
    assert!(impatient.await.is_err(), "it takes longer than that");
    let many = (0..50).map(|_| {
        let auth = world.auth.clone();
        tokio::spawn(async move {
            let decision = auth.verify(text, &keyauth_core::RequestFacts::new()).await;
            decision.expect("an answer").is_ok()
        })
    });
    for one in many.collect::<Vec<_>>() {
        assert!(one.await.expect("no panic"));
    }
    world.background.shutdown().await;
}

/// On the one thread that serves requests others go on meanwhile.
#[tokio::test(flavor = "current_thread")]
async fn nobody_is_held_up_while_a_slow_hash_is_verified() {
    let world = World::start();
    let (slow, quick) = ("kong-cost-12-0123456789", "kong-known-0123456789");
    world.import(slow, 12).await;
    world.import(quick, 4).await;
    assert_eq!(world.verify(quick).await, ADMITTED);
    let ended = RefCell::new(Vec::new());
    let verify = async |text| {
        assert_eq!(world.verify(text).await, ADMITTED);
        ended.borrow_mut().push(text);
    };
    tokio::join!(verify(slow), async {
        // It has begun: its turn is taken.
        while !format!("{:?}", world.importer).contains("free_turns: 0") {
            tokio::task::yield_now().await;
        }
        verify(quick).await;
    });
    assert_eq!(ended.into_inner(), [quick, slow]);
    world.background.shutdown().await;
}

/// Whoever would wait for too long has no answer, and is not told no.
#[tokio::test]
async fn more_than_can_be_verified_is_no_answer_and_never_a_no() {
    let world = World::start();
    let texts: Vec<_> = (0..12).map(|number| format!("{number:08}-of-many-keys")).collect();
    for text in &texts {
        world.import(text, 12).await;
    }
    let mut waiting = texts.clone();
    while !waiting.is_empty() {
        let verified = waiting.iter().map(|text| {
            let (auth, text) = (world.auth.clone(), text.clone());
            tokio::spawn(async move {
                let decision = auth.verify(&text, &keyauth_core::RequestFacts::new()).await;
                match decision {
                    Ok(decision) => decision.map(|_| None).expect("never a no"),
                    Err(error) => {
                        assert_eq!(error.kind(), LookupErrorKind::Overloaded, "{error:?}");
                        Some(text)
                    }
                }
            })
        });
        let mut again = Vec::new();
        for verified in verified.collect::<Vec<_>>() {
            again.extend(verified.await.expect("no panic"));
        }
        assert!(again.len() < waiting.len(), "some have had their turn");
        waiting = again;
    }
    world.background.shutdown().await;
}
