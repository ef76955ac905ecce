//! A reload over files that do not answer.

use std::time::{Duration, Instant};

use sealward::domain::outcome::Reason;
use sealward::engine::Call;

use crate::bench::{Bench, call, machine};

#[tokio::test]
async fn a_reload_whose_files_do_not_answer_ends_at_its_deadline_and_holds_nobody_up() {
    let bench = Bench::new().await;
    bench.engine().hand_in_reload(machine(9), Box::new(|| Box::pin(std::future::pending()))).await;
    for _ in 0..2 {
        let call = Call { deadline: Instant::now() + Duration::from_millis(300), ..call(0) };
        let reloaded = tokio::time::timeout(Duration::from_secs(20), bench.engine().reload(&call)).await;
        let denial = reloaded.expect("it waits for ever").unwrap_err();
        assert_eq!(denial.reason, Reason::Deadline);
        // Not the one before: that has let go.
        assert!(denial.detail.contains("what the configuration names"), "{}", denial.detail);
    }
}
