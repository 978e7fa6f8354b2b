//! The closed label sets that belong to the edge alone.

/// Defines an enum whose variants are metric labels, in one place, so that count, order and names
/// cannot drift apart.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of its position.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The label in metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

labels! {
    /// How the cache took part in an answer.
    CacheOutcome {
        /// A fresh stored response.
        Hit = "hit",
        /// A stale one, allowed to be served.
        Stale = "stale",
        /// A copy from the archive, because the origin could not answer.
        Archive = "archive",
        /// Nothing usable was stored; the origin was asked.
        Miss = "miss",
        /// Another reader's fetch was waited for.
        Collapsed = "collapsed",
        /// A stored response the origin confirmed.
        Revalidated = "revalidated",
        /// The request may not be answered from the cache.
        Bypass = "bypass",
        /// The store failed; treated as a miss.
        Error = "error",
    }
}

labels! {
    /// How a TLS handshake ended.
    Handshake {
        /// With a full key exchange and signature.
        Full = "full",
        /// By a session ticket.
        Resumed = "resumed",
        /// Not at all: protocol failure, time-out or disconnect.
        Failed = "failed",
    }
}

labels! {
    /// Why an exchange with an origin failed.
    OriginFailure {
        /// No connection, or its TLS failed.
        Connect = "connect",
        /// A time limit ran out.
        Timeout = "timeout",
        /// The answer was not HTTP, or broke off.
        Protocol = "protocol",
        /// The answer was a 5xx.
        Status5xx = "status_5xx",
        /// The queue before it was full, or the wait in it ran out.
        Busy = "busy",
    }
}

labels! {
    /// Why an access log record was not written.
    LogDrop {
        /// The worker's ring was full.
        RingFull = "ring_full",
        /// Beyond `refusals_per_second`; counted in the log's summary line.
        Sampled = "sampled",
        /// The disk did not take it.
        Disk = "disk",
        /// The writer was restarted with it in hand.
        Restart = "restart",
    }
}
