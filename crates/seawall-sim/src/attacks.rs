//! The attacks A1-A22 of detection.md §8 with amendments 10 and 11, as data.
//!
//! Written from those pages alone: whoever wrote this has not looked at what the detector looks at, and
//! nothing here is to be changed so that a bar is met. Sizes vary with the seed by [`SPREAD`], so that
//! no figure here can be aimed at. It does **not** say how bots act; that is [`crate::bots`].

use crate::scenario::VIEWS_PER_S;

/// Each seed but 0 multiplies the number of bots and the rate of each vector by a factor of its own
/// between these.
pub(crate) const SPREAD: (f64, f64) = (0.7, 1.4);

/// An attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// A1 to A22, or a variant with a letter behind.
    pub name: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// How able the attacker is: more than one where what is done takes the means of each.
    pub tiers: &'static [Tier],
    /// What is done. More than one: in turn, by [`Timing`] or [`Adapts`].
    pub waves: &'static [Wave],
    /// When.
    pub timing: Timing,
    /// What is learned from refusals.
    pub adapts: Adapts,
    /// Whether all waves are of the same bots, at their addresses, with their connections and cookies, which do no more than aim
    /// elsewhere. Otherwise each wave is of others.
    pub is_one_botnet: bool,
    /// Against which bars it is held.
    pub class: Class,
    /// Whether the same attacker has visited for a day before (accelerated), rising slowly, to be taken
    /// for ordinary.
    pub has_poisoned: bool,
    /// Bars of its own.
    pub special: &'static [Special],
    /// Page views a second of the site in the evening; each is eight to nine requests.
    ///
    /// Of a site with fewer than [`VIEWS_PER_S`] half an hour does not teach the 3,000 clients that a block asks for, so
    /// that no signature may block there; that is a bar of its own. All other bars of its class hold there.
    pub views_per_s: f64,
}

impl Attack {
    /// Whether it is of a site so small that it has a lesson of its own, and too little is learned in it for a block.
    pub const fn is_of_small_site(&self) -> bool {
        self.views_per_s < VIEWS_PER_S
    }
}

/// How able an attacker is (detection.md §8). By order, L0 first; a higher one does not do all that lower ones do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// L0: a tool as it comes, that looks and asks the same each time.
    Tool,
    /// L1: changes names, fields or paths from one request to the next.
    Rotating,
    /// L2: its TLS and HTTP/2 are those of a browser.
    Copied,
    /// L3: a browser without a screen, that keeps cookies, waits and loads what belongs to a page.
    Headless,
    /// L4: learns from refusals, and does something else once it is blocked.
    Adaptive,
    /// L5: knows the program and every measure, all but the keys.
    WhiteBox,
    /// L6: was among the readers for a day, to be taken for ordinary.
    Poisoning,
    /// L7: looks like others, so that they are blocked.
    Framing,
}

impl Tier {
    /// All of them, L0 first.
    pub const ALL: [Self; 8] = [
        Self::Tool,
        Self::Rotating,
        Self::Copied,
        Self::Headless,
        Self::Adaptive,
        Self::WhiteBox,
        Self::Poisoning,
        Self::Framing,
    ];

    /// Its number and what it is, in a few words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tool => "L0 tool",
            Self::Rotating => "L1 rotating",
            Self::Copied => "L2 as of browsers",
            Self::Headless => "L3 headless browser",
            Self::Adaptive => "L4 adaptive",
            Self::WhiteBox => "L5 white box",
            Self::Poisoning => "L6 poisoning",
            Self::Framing => "L7 framing",
        }
    }
}

/// What is done at the same time.
pub type Wave = &'static [Vector];

/// One kind of bots doing one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vector {
    /// How many there are.
    pub bots: u32,
    /// How many requests (connections, handshakes) they make.
    pub rate: Rate,
    /// Where they are.
    pub sources: Sources,
    /// What they ask for.
    pub aim: Aim,
    /// What they look like.
    pub look: BotLook,
    /// What they do with what they are answered.
    pub skill: Skill,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// All together, a second.
    Total(f64),
    /// Each of them, a second.
    Each(f64),
}

/// Where bots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Machines for rent of so many owners.
    Hosting(u32),
    /// Homes all over the networks that readers are in, some behind the addresses they share.
    AmongReaders,
    /// Tor exits.
    Tor,
    /// Another /64 of one /32 each time.
    Walking,
}

/// What bots ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The front page.
    Front,
    /// The front page with a query that changes each time.
    BustingQuery,
    /// Paths that are not there.
    RandomPaths,
    /// The search that costs fifty pages.
    DeepSearch,
    /// Forum and ordinary search.
    Dynamic,
    /// All that readers read, with forum and search among it.
    Rotating,
    /// The forum with a cookie that looks like a login.
    ForgedLogin,
    /// Comment, contact and search forms, sent.
    Forms,
    /// `xmlrpc.php` with many calls in one, and `admin-ajax.php`.
    Programs,
    /// Event streams, kept open.
    Streams,
    /// Films.
    Films,
    /// Heads that never end, and content that trickles.
    SlowHeads,
    /// HTTP/2 streams reset as soon as they are opened.
    Resets,
    /// TLS handshakes and nothing else.
    Handshakes,
    /// HTTP/2 frames that cost more than they should: CONTINUATION, HPACK, SETTINGS.
    Frames,
}

/// What bots look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BotLook {
    /// One tool, by number; the seed chooses another one for each vector.
    Tool,
    /// A tool with the names of browsers, another one each time.
    Rotating,
    /// One browser, copied down to TLS and HTTP/2.
    Copied,
    /// Browsers in the proportions of readers.
    Browsers,
    /// Tor Browser.
    Tor,
}

/// What bots do with answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skill {
    /// Nothing.
    Deaf,
    /// They keep cookies and follow redirects at once.
    Cookies,
    /// They wait where they are told to, and load what belongs to a page.
    Browser,
}

/// When it is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timing {
    /// All the time.
    Steady,
    /// So many seconds on, so many off; the next wave each time.
    Pulse(f64, f64),
}

/// What an attacker makes of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapts {
    /// Nothing.
    Never,
    /// L4: when most requests are refused, the next wave, three seconds later.
    OnRefusal,
    /// L5: knows every standing measure and changes what it names, five seconds later.
    WhiteBox,
}

/// Which bars hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It can be told from readers: the common bars.
    Ordinary,
    /// It cannot: the bars of mimicry.
    Mimicry,
    /// It is about connections: detection and readers' bars; nothing reaches the origin.
    Connections,
}

/// A bar of one attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Special {
    /// Detected within so many seconds: median and 95th percentile.
    DetectedIn(f64, f64),
    /// The origin is asked at most so many times as often as before.
    OriginWork(f64),
    /// Aged readers' new connections.
    AgedConnections(f64),
    /// Readers in the attackers' networks who are blocked or challenged, at most.
    CgnatHarm(f64),
    /// Readers through Tor who get their pages, at least.
    TorGoodput(f64),
    /// Readers through Tor are blocked no more often than others may be, and by no measure that meets most of
    /// them, whatever it names: a signature of Tor alone may not block, but one of Tor Browser's look could.
    NoTorBlock,
    /// Readers' bars may be missed by so much.
    Lenience(f64),
}

const fn vector(bots: u32, rate: Rate, sources: Sources, aim: Aim, look: BotLook) -> Vector {
    Vector { bots, rate, sources, aim, look, skill: Skill::Deaf }
}

const fn plain(
    name: &'static str,
    title: &'static str,
    tiers: &'static [Tier],
    waves: &'static [Wave],
    class: Class,
) -> Attack {
    Attack {
        name,
        title,
        tiers,
        waves,
        timing: Timing::Steady,
        adapts: Adapts::Never,
        is_one_botnet: false,
        class,
        has_poisoned: false,
        special: &[],
        views_per_s: VIEWS_PER_S,
    }
}

const BUSTING: Vector =
    vector(3_000, Rate::Total(5_000.0), Sources::Hosting(40), Aim::BustingQuery, BotLook::Tool);
const SLOW: Vector =
    vector(900, Rate::Total(900.0), Sources::Hosting(30), Aim::SlowHeads, BotLook::Tool);
const HANDSHAKES: Vector =
    vector(5_000, Rate::Total(3_000.0), Sources::Hosting(60), Aim::Handshakes, BotLook::Tool);
const SEARCHES: Vector =
    vector(1_000, Rate::Total(300.0), Sources::Hosting(20), Aim::DeepSearch, BotLook::Tool);
/// Ten times what a site of 50 requests a second is asked, and of 5, in the seed with the fewest ([`SPREAD`]); as many of
/// each bot as in [`SEARCHES`].
const SEARCHES_OF_50: Vector =
    vector(2_400, Rate::Total(715.0), Sources::Hosting(20), Aim::DeepSearch, BotLook::Tool);
const SEARCHES_OF_5: Vector =
    vector(240, Rate::Total(71.5), Sources::Hosting(20), Aim::DeepSearch, BotLook::Tool);
const ROTATING: Vector =
    vector(10_000, Rate::Each(0.5), Sources::Hosting(80), Aim::Rotating, BotLook::Rotating);
const MISSING: Vector =
    vector(3_000, Rate::Total(3_000.0), Sources::Hosting(40), Aim::RandomPaths, BotLook::Tool);
const COPIED: Vector =
    vector(20_000, Rate::Each(0.2), Sources::AmongReaders, Aim::Rotating, BotLook::Browsers);
/// What 500 headless browsers open, first one and then, when most of it is refused, the other.
const HEADLESS: &[Wave] = &[&[headless(Aim::Dynamic)], &[headless(Aim::Rotating)]];

const fn headless(aim: Aim) -> Vector {
    Vector {
        skill: Skill::Browser,
        ..vector(500, Rate::Each(2.0), Sources::AmongReaders, aim, BotLook::Browsers)
    }
}

/// All of them.
pub const ATTACKS: &[Attack] = &[
    Attack {
        special: &[Special::DetectedIn(1.0, 1.0)],
        ..plain(
            "A1",
            "GET flood of one URL",
            &[Tier::Tool],
            &[&[vector(
                2_000,
                Rate::Total(20_000.0),
                Sources::Hosting(30),
                Aim::Front,
                BotLook::Tool,
            )]],
            Class::Ordinary,
        )
    },
    Attack {
        special: &[Special::OriginWork(1.1)],
        ..plain(
            "A2",
            "queries that bust the cache",
            &[Tier::Rotating],
            &[&[BUSTING]],
            Class::Ordinary,
        )
    },
    Attack {
        special: &[Special::OriginWork(1.1)],
        ..plain("A3", "random paths", &[Tier::Rotating], &[&[MISSING]], Class::Ordinary)
    },
    plain("A4", "expensive search", &[Tier::Tool], &[&[SEARCHES]], Class::Ordinary),
    plain("A5", "slow heads, 9,000 connections", &[Tier::Tool], &[&[SLOW]], Class::Connections),
    Attack {
        special: &[Special::DetectedIn(1.0, 1.0)],
        ..plain(
            "A6",
            "rapid reset",
            &[Tier::Tool],
            &[&[vector(200, Rate::Each(10.0), Sources::Hosting(10), Aim::Resets, BotLook::Tool)]],
            Class::Connections,
        )
    },
    Attack {
        special: &[Special::AgedConnections(0.99)],
        ..plain("A7", "TLS handshakes", &[Tier::Tool], &[&[HANDSHAKES]], Class::Connections)
    },
    plain(
        "A8",
        "CONTINUATION, HPACK and SETTINGS",
        &[Tier::Tool],
        &[&[vector(500, Rate::Each(2.0), Sources::Hosting(10), Aim::Frames, BotLook::Tool)]],
        Class::Connections,
    ),
    plain(
        "A9",
        "user agents and fields rotate",
        &[Tier::Rotating],
        &[&[ROTATING]],
        Class::Ordinary,
    ),
    plain("A10", "TLS as of browsers, paths rotate", &[Tier::Copied], &[&[COPIED]], Class::Mimicry),
    Attack {
        special: &[Special::DetectedIn(30.0, 30.0)],
        ..plain(
            "A11",
            "low and slow on dynamic pages",
            &[Tier::Copied],
            &[&[vector(
                1_100,
                Rate::Each(0.1),
                Sources::Hosting(50),
                Aim::Dynamic,
                BotLook::Copied,
            )]],
            Class::Ordinary,
        )
    },
    Attack {
        timing: Timing::Pulse(10.0, 20.0),
        // Three vectors in turn: each comes again after 90 s.
        ..plain(
            "A12",
            "pulses, another vector each time",
            &[Tier::Rotating],
            &[&[SEARCHES], &[MISSING], &[ROTATING]],
            Class::Ordinary,
        )
    },
    Attack {
        special: &[Special::Lenience(0.02)],
        ..plain(
            "A13",
            "A2, A5 and A7 at once",
            &[Tier::Rotating],
            &[&[BUSTING, SLOW, HANDSHAKES]],
            Class::Ordinary,
        )
    },
    Attack {
        special: &[Special::CgnatHarm(0.005)],
        ..plain(
            "A14",
            "residential proxies among readers",
            &[Tier::Copied],
            &[&[vector(
                30_000,
                Rate::Total(3_000.0),
                Sources::AmongReaders,
                Aim::Dynamic,
                BotLook::Copied,
            )]],
            Class::Ordinary,
        )
    },
    Attack {
        adapts: Adapts::OnRefusal,
        is_one_botnet: true,
        ..plain(
            "A15",
            "headless browsers that pass tests",
            &[Tier::Headless, Tier::Adaptive],
            HEADLESS,
            Class::Mimicry,
        )
    },
    Attack {
        has_poisoned: true,
        special: &[Special::TorGoodput(0.95), Special::NoTorBlock],
        ..plain(
            "A16",
            "poisoned baseline, then through Tor",
            &[Tier::Poisoning, Tier::Framing],
            &[&[Vector {
                skill: Skill::Cookies,
                ..vector(2_000, Rate::Total(600.0), Sources::Tor, Aim::Dynamic, BotLook::Tor)
            }]],
            Class::Mimicry,
        )
    },
    plain(
        "A17",
        "forged login cookies",
        &[Tier::Rotating],
        &[&[vector(
            1_000,
            Rate::Total(800.0),
            Sources::Hosting(20),
            Aim::ForgedLogin,
            BotLook::Tool,
        )]],
        Class::Ordinary,
    ),
    plain(
        "A18",
        "POST flood of forms",
        &[Tier::Rotating],
        &[&[vector(2_000, Rate::Total(1_000.0), Sources::Hosting(30), Aim::Forms, BotLook::Tool)]],
        Class::Ordinary,
    ),
    plain(
        "A19",
        "XML-RPC and admin-ajax",
        &[Tier::Tool],
        &[&[vector(500, Rate::Total(400.0), Sources::Hosting(12), Aim::Programs, BotLook::Tool)]],
        Class::Ordinary,
    ),
    plain(
        "A20",
        "event streams kept open",
        &[Tier::Rotating],
        &[&[vector(2_000, Rate::Total(400.0), Sources::Hosting(30), Aim::Streams, BotLook::Tool)]],
        Class::Ordinary,
    ),
    plain(
        "A21",
        "through the /64s of a /32",
        &[Tier::Rotating],
        &[&[vector(1, Rate::Total(2_000.0), Sources::Walking, Aim::Dynamic, BotLook::Tool)]],
        Class::Ordinary,
    ),
    plain(
        "A22",
        "downloads of films",
        &[Tier::Tool],
        &[&[vector(600, Rate::Total(900.0), Sources::Hosting(20), Aim::Films, BotLook::Tool)]],
        Class::Ordinary,
    ),
    // Tiers that no numbered attack has alone.
    Attack {
        adapts: Adapts::OnRefusal,
        ..plain(
            "A4d",
            "expensive search, adapts to refusals",
            &[Tier::Adaptive],
            &[&[SEARCHES], &[MISSING], &[ROTATING]],
            Class::Ordinary,
        )
    },
    Attack {
        adapts: Adapts::WhiteBox,
        ..plain(
            "A4e",
            "expensive search, knows every measure",
            &[Tier::WhiteBox],
            &[&[SEARCHES]],
            Class::Mimicry,
        )
    },
    // More than the 500 browsers of A15: whenever most is refused, as many others elsewhere.
    Attack {
        adapts: Adapts::OnRefusal,
        ..plain(
            "A15d",
            "headless browsers, others at each refusal",
            &[Tier::Headless, Tier::Adaptive],
            HEADLESS,
            Class::Mimicry,
        )
    },
    // Smaller sites. The origin is the same, and saturated.
    Attack {
        views_per_s: 6.0,
        ..plain(
            "A4f",
            "expensive search, site of 50 requests a second",
            &[Tier::Tool],
            &[&[SEARCHES_OF_50]],
            Class::Ordinary,
        )
    },
    Attack {
        views_per_s: 0.6,
        // The 95th percentile is what is promised; of the median nothing is.
        special: &[Special::DetectedIn(4.0, 4.0)],
        ..plain(
            "A4g",
            "expensive search, site of 5 requests a second",
            &[Tier::Tool],
            &[&[SEARCHES_OF_5]],
            Class::Ordinary,
        )
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_attack_of_every_tier() {
        for tier in Tier::ALL {
            assert!(ATTACKS.iter().any(|attack| attack.tiers.contains(&tier)), "{tier:?}");
        }
        assert!(Tier::ALL.is_sorted());
    }

    #[test]
    fn one_botnet_changes_its_aim_and_nothing_else() {
        let mut some = 0;
        for attack in ATTACKS.iter().filter(|attack| attack.is_one_botnet) {
            assert!(attack.timing == Timing::Steady && !attack.has_poisoned, "{}", attack.name);
            let [first, ..] = attack.waves else { panic!("{}: no wave", attack.name) };
            for wave in attack.waves {
                assert_eq!(wave.len(), first.len(), "{}", attack.name);
                for (one, other) in wave.iter().zip(*first) {
                    assert_eq!(Vector { aim: other.aim, ..*one }, *other, "{}", attack.name);
                }
            }
            some += 1;
        }
        assert!(some > 0);
    }

    #[track_caller]
    fn check_is(attack: &Attack, tier: Tier, does: bool) {
        assert_eq!(attack.tiers.contains(&tier), does, "{}: {tier:?}", attack.name);
    }

    #[test]
    fn attacks_do_what_their_tier_says() {
        for attack in ATTACKS {
            assert!(!attack.tiers.is_empty() && attack.tiers.is_sorted(), "{}", attack.name);
            let vectors = || attack.waves.iter().flat_map(|wave| wave.iter());
            check_is(attack, Tier::Headless, vectors().any(|it| it.skill == Skill::Browser));
            check_is(attack, Tier::Adaptive, attack.adapts == Adapts::OnRefusal);
            check_is(attack, Tier::WhiteBox, attack.adapts == Adapts::WhiteBox);
            check_is(attack, Tier::Poisoning, attack.has_poisoned);
            check_is(attack, Tier::Framing, vectors().any(|it| it.sources == Sources::Tor));
        }
    }
}
