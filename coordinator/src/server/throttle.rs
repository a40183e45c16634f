//! How fast one session is read: who says too much is heard later, and nobody else notices.

use std::time::Duration;

use protocol::limits::MESSAGES_PER_SECOND_MAX;
use tokio::time::{Instant, sleep_until};

/// Messages are counted in windows this long: an answer to a throttled session waits no longer.
const WINDOW: Duration = Duration::from_millis(100);

/// Messages that a window lets pass.
const WINDOW_MESSAGES_MAX: u32 = MESSAGES_PER_SECOND_MAX / 10;

/// Counts the messages of a session.
#[derive(Debug)]
pub(super) struct Throttle {
    started: Instant,
    count: u32,
}

impl Throttle {
    /// Nothing was said yet.
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), count: 0 }
    }

    /// Counts a message, and waits before it is looked at when too many came.
    pub(super) async fn pass(&mut self) {
        let end = self.started + WINDOW;
        if Instant::now() < end {
            self.count += 1;
            if self.count <= WINDOW_MESSAGES_MAX {
                return;
            }
            sleep_until(end).await;
        }
        *self = Self { started: Instant::now(), count: 1 };
    }
}
