//! Redis, by what keyauth may do there.

use deadpool_redis::Pool;
use deadpool_redis::redis::{AsyncCommands, InfoDict, RedisError, cmd};
use keyauth_core::{Clock, SystemClock};

use super::report::{Report, ask};
use crate::told::Failure;

/// A key that nobody else uses, with the prefix that rights are given for.
const KEY: &str = "keyauth:doctor";

pub(super) async fn look(report: &mut Report, pool: &Pool) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let began = clock.uptime();
    let mut connection = match ask(pool.get()).await {
        Ok(connection) => connection,
        Err(error) => {
            let advice = "see that it runs: without it each key is read from the database, and \
                          limits are shares of each instance";
            return report.bad("redis", &error, advice);
        }
    };
    let written = async {
        let _: () = connection.set_ex(KEY, "1", 5).await?;
        let () = cmd("EVAL").arg("return 1").arg(0).exec_async(&mut connection).await?;
        cmd("TIME").query_async::<(f64, f64)>(&mut connection).await
    };
    let asked: Result<_, String> = ask::<_, RedisError>(written).await;
    let took = clock.uptime().saturating_sub(began);
    match asked {
        Ok((seconds, micros)) => {
            report.fine("redis", &format!("it can be read, written and scripted; {took:.1?}"))?;
            let here = super::database::seconds(&clock);
            report.clock("redis", seconds + micros / 1e6 - here)?;
        }
        Err(error) => {
            let advice = "give the user the rights that docs/redis.md lists";
            return report.bad("redis", &error, advice);
        }
    }
    // Whether that may be asked is the operator's choice.
    let info: Result<InfoDict, _> =
        ask::<_, RedisError>(cmd("INFO").arg("memory").query_async(&mut connection)).await;
    match info.ok().and_then(|info| info.get::<String>("maxmemory_policy")) {
        Some(policy) if policy != "noeviction" => report.warn(
            "redis memory",
            &format!("maxmemory-policy is {policy}"),
            "limits that are evicted begin anew: use noeviction where limits are counted",
        ),
        Some(policy) => report.fine("redis memory", &format!("maxmemory-policy is {policy}")),
        None => report.fine("redis memory", "this user may not ask for it, and need not"),
    }
}
