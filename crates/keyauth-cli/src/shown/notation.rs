//! Limits, budgets and metadata as they are written on a command line: what is printed can be said.

use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value};

/// `NAME:COUNT/WINDOW`, and more with commas: `calls:100/1m,per=owner,burst=20`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Limit(Map<String, Value>);

/// `NAME:AMOUNT/WINDOW`, and more with commas: `spend:50/month,mode=hard`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Budget(Map<String, Value>);

/// `NAME=VALUE`; what is JSON is that, and all else is text.
#[derive(Clone, Debug)]
pub(crate) struct Metadatum(pub(crate) String, pub(crate) Value);

/// What is without a bound.
const UNBOUNDED: &str = "unlimited";

/// Name, amount, window and what is set besides.
fn parts<'t>(text: &'t str, known: &[&str]) -> Option<(&'t str, &'t str, Map<String, Value>)> {
    let mut words = text.split(',');
    let (name, rest) = words.next()?.rsplit_once(':')?;
    let (amount, window) = rest.split_once('/')?;
    let mut object = Map::new();
    object.insert("name".into(), name.into());
    object.insert("window".into(), window.into());
    for word in words {
        let (name, value) = word.split_once('=').filter(|(name, _)| known.contains(name))?;
        if object.insert(name.into(), value.into()).is_some() {
            return None;
        }
    }
    Some((name, amount, object)).filter(|_| !name.is_empty() && !window.is_empty())
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be NAME:COUNT/WINDOW like calls:100/1m, and after commas \
                             burst=COUNT, unit=cost, per=owner or zone=Europe/Berlin";
        let (_, count, mut limit) = parts(text, &["burst", "unit", "per", "zone"]).ok_or(WRONG)?;
        let number = |text: &str| text.parse::<u64>().map(Value::from).map_err(|_| WRONG);
        let count = if count == UNBOUNDED { Value::Null } else { number(count)? };
        limit.insert("count".into(), count);
        if let Some(burst) = limit.get_mut("burst") {
            *burst = number(burst.as_str().unwrap_or_default())?;
        }
        Ok(Self(limit))
    }
}

impl FromStr for Budget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be NAME:AMOUNT/WINDOW like spend:50/month, and after commas \
                             mode=hard, per=owner or zone=Europe/Berlin";
        let (_, amount, mut budget) = parts(text, &["mode", "per", "zone"]).ok_or(WRONG)?;
        let amount = if amount == UNBOUNDED { Value::Null } else { amount.into() };
        budget.insert("limit".into(), amount);
        Ok(Self(budget))
    }
}

impl FromStr for Metadatum {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
        let json = serde_json::from_str::<Value>(value).ok();
        // A number that would be another one is no number.
        let same = |json: &Value| {
            json.as_number().is_none_or(|number| number.to_string().as_str() == value)
        };
        let json = json.filter(same);
        Ok(Self(name.to_owned(), json.unwrap_or_else(|| value.into())))
    }
}

/// A limit or budget as it is written, where it is one.
pub(super) fn read(object: &Map<String, Value>) -> Option<String> {
    let name = object.get("name")?.as_str()?;
    let window = object.get("window")?.as_str()?;
    let amount = object.get("count").or_else(|| object.get("limit"))?;
    let amount = match amount {
        Value::Null => UNBOUNDED.to_owned(),
        Value::String(amount) => amount.clone(),
        amount => amount.to_string(),
    };
    let mut text = format!("{}:{amount}/{window}", super::plain(name));
    for (name, usual) in
        [("burst", ""), ("unit", "requests"), ("mode", ""), ("per", ""), ("zone", "UTC")]
    {
        let value = match object.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(value)) => value.clone(),
            Some(value) => value.to_string(),
        };
        if value != usual {
            text = format!("{text},{name}={value}");
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_said() {
        for text in [
            "calls:100/1m",
            "calls:unlimited/day,zone=Europe/Berlin",
            "a:b:7/at_once,unit=cost,per=owner",
            "smooth:10/1h 30m,burst=20",
        ] {
            let limit: Limit = text.parse().expect(text);
            assert_eq!(read(&limit.0).as_deref(), Some(text));
        }
        for text in
            ["spend:50.25/month,mode=soft", "all:unlimited/total", "x:1/6h,mode=hard,per=key"]
        {
            let budget: Budget = text.parse().expect(text);
            assert_eq!(read(&budget.0).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "calls",
            "calls:100",
            "calls/1m",
            ":1/1m",
            "calls:1/",
            "calls:-1/1m",
            "calls:x/1m",
            "calls:1/1m,burst=x",
            "calls:1/1m,brst=1",
            "calls:1/1m,per",
            "calls:1/1m,per=a,per=b",
            "calls:1/1m,name=other",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
        assert!("spend:1/day,unit=cost".parse::<Budget>().is_err());
        assert!("team".parse::<Metadatum>().is_err());
        let Metadatum(name, value) = "a=[1]=".parse().expect("text");
        assert_eq!((name.as_str(), value), ("a", Value::from("[1]=")));
        for (text, value) in [
            ("n=7", Value::from(7)),
            ("n=12345e6", Value::from("12345e6")),
            ("n={\"a\": [true]}", serde_json::json!({"a": [true]})),
            ("n=", Value::from("")),
        ] {
            assert_eq!(text.parse::<Metadatum>().expect(text).1, value, "{text}");
        }
    }
}
