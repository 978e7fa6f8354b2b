//! What the operator decides by hand: the words of `/mitigations`.
//!
//! Reading a request is here; following it is for the watcher (signatures) and `addresses` (lists).

use std::fmt;
use std::time::Duration;

use seawall_control::Mode;
use seawall_model::{Attribute, Prefix, Rung};
use serde::Serialize;

use super::request::{Denied, percent_decode};
use crate::watcher::MeasureStatus;

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A signature from words, on a rung.
    Add {
        /// What it means, at most five attributes.
        terms: Vec<(Attribute, String)>,
        /// Where it stands.
        rung: Rung,
        /// How long.
        lasts: Duration,
    },
    /// A known signature stays on a rung.
    Pin {
        /// Its number.
        id: u32,
        /// Where it stands.
        rung: Rung,
        /// How long.
        lasts: Duration,
    },
    /// A known signature does nothing.
    Veto {
        /// Its number.
        id: u32,
        /// How long.
        lasts: Duration,
    },
    /// A known signature, and what was ordered about it, is forgotten.
    Remove(u32),
    /// Act, or only say what would be done, until the next reload; a start with the same configuration keeps it.
    Mode(Mode),
    /// An address or network is put on a list.
    List {
        /// Which list.
        list: AddressList,
        /// Who.
        prefix: Prefix,
        /// How long; `None`: until it is removed.
        lasts: Option<Duration>,
    },
    /// An address or network is taken off both lists.
    Unlist(Prefix),
}

/// A list of addresses that the operator fills while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressList {
    /// As `network.allow`.
    Allow,
    /// As `network.deny`.
    Block,
}

impl AddressList {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Allow, Self::Block];

    /// The name in JSON, files and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
        }
    }
}

/// Everything that stands: `seawall mitigate list --json`. Names are a contract, keys may only be added.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// `act` or `observe`.
    pub mode: &'static str,
    /// Whether anybody watches (`detect.enabled`).
    pub watching: bool,
    /// What goes on.
    pub state: super::State,
    /// What is out of the ordinary, by name.
    pub alarms: Vec<&'static str>,
    /// Requests per second that would be ordinary now.
    pub expected_per_s: f64,
    /// Clients that are known as ordinary.
    pub baseline_clients: u32,
    /// Which life of the program this is, as the names of its requests begin: numbers of measures are of it.
    pub run: String,
    /// Signatures that stand or rest.
    pub measures: Vec<MeasureStatus>,
    /// Addresses on lists.
    pub addresses: Vec<AddressStatus>,
}

/// An address or network on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressStatus {
    /// Which list.
    pub list: AddressList,
    /// Who.
    pub prefix: String,
    /// Whole seconds since the order.
    pub since_s: u64,
    /// Whole seconds until it ends; `None`: when it is removed.
    pub expires_in_s: Option<u64>,
}

/// What became of an order, or what would.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether it was followed; not if only its effect was asked for.
    pub done: bool,
    /// What the signature means, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The measure as it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measure: Option<MeasureStatus>,
    /// On what it rests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceStatus>,
    /// The list's entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<AddressStatus>,
    /// Who is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<There>,
    /// The mode that is in force now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<&'static str>,
}

/// How many a signature means, of those who come now and of those who came in ordinary times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EvidenceStatus {
    /// Requests of the last two seconds in the sample.
    pub sample_rows: u32,
    /// Of them: meant.
    pub sample_hits: u32,
    /// Different clients (a /32 of IPv4, a /64 of IPv6) among those.
    pub sample_clients: u32,
    /// Requests per second that are meant.
    pub matched_per_s: f64,
    /// How many would be if everything were ordinary.
    pub expected_per_s: f64,
    /// Which part of what is too much it explains, 0 to 1.
    pub coverage: f64,
    /// Clients known as ordinary of which it can be told.
    pub baseline_clients: u32,
    /// Of them: meant.
    pub baseline_hits: u32,
    /// Upper bound (95 %) of the part of ordinary clients that is meant, 0 to 1.
    pub collateral_upper: f64,
    /// The same of those who came for something that is meant, a page or a form: a block refuses each of them.
    pub refused_upper: f64,
    /// The highest rung that the program would take by itself on this evidence.
    pub bears: &'static str,
    /// Whether it would also test it once it is sure of an attack.
    pub bears_wide_test: bool,
}

/// Who is known in a network. Estimates: a sample of two seconds, and readers of the last days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct There {
    /// Requests of the last two seconds in the sample.
    pub sample_rows: u32,
    /// Of them: from there.
    pub sample_hits: u32,
    /// Different clients among those.
    pub clients: u32,
    /// Of those: known readers.
    pub readers: u32,
    /// Of those: signed in.
    pub signed_in: u32,
    /// Networks (/24 or /48) in it, as far as they were looked at.
    pub networks: u32,
    /// Of those: with known readers in the last days.
    pub networks_with_readers: u32,
}

/// Values of one attribute in recent traffic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttributeValues {
    /// The flag of `mitigate add` without its dashes.
    pub attribute: &'static str,
    /// The most frequent first.
    pub values: Vec<ValueShare>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueShare {
    /// What it is in words.
    pub text: String,
    /// Its part of the sample, 0 to 1.
    pub share: f64,
}

/// Why an order is not followed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRefusal {
    /// Status of the answer.
    pub status: u16,
    /// What happened, and why.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl OrderRefusal {
    pub(crate) fn new(status: u16, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, what: what.into(), hint: hint.into() }
    }

    /// It was followed, and the disk did not take it.
    pub(crate) fn not_written(error: &std::io::Error) -> Self {
        Self::new(
            507,
            format!("it is in force, but could not be written to disk: {error}"),
            "free space in `state_dir` and give the order again: a restart would not know of it",
        )
    }
}

impl fmt::Display for OrderRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.hint)
    }
}

/// The name of an attribute as a flag and in JSON.
pub const fn flag_of(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Ja4 => "ja4",
        Attribute::Http2Preface => "http2-preface",
        Attribute::FieldOrder => "field-order",
        Attribute::FieldCount => "fields",
        Attribute::UserAgentFamily => "user-agent-family",
        Attribute::UserAgent => "user-agent",
        Attribute::AcceptLanguage => "languages",
        Attribute::Accept => "accept",
        Attribute::Consistency => "consistency",
        Attribute::Cookie => "cookie",
        Attribute::Method => "method",
        Attribute::Path => "path",
        Attribute::Query => "query",
        Attribute::Network => "network",
        Attribute::Prefix => "addresses",
    }
}

/// What a change is: the order, and whether only its effect is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) order: Order,
    pub(super) is_dry: bool,
}

/// Reads the parameters of a change.
pub(super) fn parse(parameters: &str) -> Result<Change, Denied> {
    const USAGE: Denied =
        Denied(400, "say do=add|pin|veto|remove|mode|list|unlist with what it needs, once each");
    let mut given = Given::default();
    for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(USAGE)?;
        let value = percent_decode(value).ok_or(Denied(400, "bad percent encoding"))?;
        if name == "dry" && value == "1" && !given.is_dry {
            given.is_dry = true;
        } else if let Some(flag) = name.strip_prefix("term.") {
            let attribute = Attribute::ALL.into_iter().find(|known| flag_of(*known) == flag);
            let attribute = attribute.ok_or(Denied(400, "there is no such attribute"))?;
            if given.terms.len() >= Attribute::COUNT {
                return Err(USAGE);
            }
            given.terms.push((attribute, value));
        } else {
            let place = given.place(name).ok_or(USAGE)?;
            if place.replace(value).is_some() {
                return Err(USAGE);
            }
        }
    }
    let is_dry = given.is_dry;
    Ok(Change { order: given.order()?, is_dry })
}

#[derive(Default)]
struct Given {
    what: Option<String>,
    id: Option<String>,
    rung: Option<String>,
    lasts: Option<String>,
    prefix: Option<String>,
    list: Option<String>,
    mode: Option<String>,
    terms: Vec<(Attribute, String)>,
    is_dry: bool,
}

impl Given {
    fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "do" => &mut self.what,
            "id" => &mut self.id,
            "rung" => &mut self.rung,
            "for_s" => &mut self.lasts,
            "prefix" => &mut self.prefix,
            "list" => &mut self.list,
            "mode" => &mut self.mode,
            _ => return None,
        })
    }

    fn order(self) -> Result<Order, Denied> {
        Ok(match self.what.as_deref() {
            Some("add") => {
                Order::Add { rung: self.rung()?, lasts: self.lasts()?, terms: self.terms }
            }
            Some("pin") => Order::Pin { id: self.id()?, rung: self.rung()?, lasts: self.lasts()? },
            Some("veto") => Order::Veto { id: self.id()?, lasts: self.lasts()? },
            Some("remove") => Order::Remove(self.id()?),
            Some("mode") => Order::Mode(match self.mode.as_deref() {
                Some("act") => Mode::Act,
                Some("observe") => Mode::Observe,
                _ => return Err(Denied(400, "say mode=act or mode=observe")),
            }),
            Some("list") => Order::List {
                list: self.list()?,
                prefix: self.prefix()?,
                lasts: self.lasts.is_some().then(|| self.lasts()).transpose()?,
            },
            Some("unlist") => Order::Unlist(self.prefix()?),
            _ => return Err(Denied(400, "say do=add, pin, veto, remove, mode, list or unlist")),
        })
    }

    fn id(&self) -> Result<u32, Denied> {
        let id = self.id.as_deref().and_then(|id| id.parse().ok());
        id.ok_or(Denied(400, "say id=NUMBER"))
    }

    fn rung(&self) -> Result<Rung, Denied> {
        let rung = self.rung.as_deref();
        let rung = Rung::ALL.into_iter().find(|known| Some(known.as_str()) == rung);
        rung.ok_or(Denied(400, "say rung=observe, demote, challenge or block"))
    }

    fn lasts(&self) -> Result<Duration, Denied> {
        let seconds = self.lasts.as_deref().and_then(|seconds| seconds.parse().ok());
        let length = seconds
            .map(Duration::from_secs)
            .filter(|length| (Duration::from_secs(1)..=MAX_ORDER_LENGTH).contains(length));
        length.ok_or(Denied(400, "say for_s=SECONDS, 30 days at most"))
    }

    fn prefix(&self) -> Result<Prefix, Denied> {
        let prefix = self.prefix.as_deref().and_then(|prefix| prefix.parse().ok());
        prefix.ok_or(Denied(400, "say prefix=ADDRESS or prefix=ADDRESS/BITS"))
    }

    fn list(&self) -> Result<AddressList, Denied> {
        let list = self.list.as_deref();
        let list = AddressList::ALL.into_iter().find(|known| Some(known.as_str()) == list);
        list.ok_or(Denied(400, "say list=allow or list=block"))
    }
}

/// For how long an order may be given: nobody remembers in spring what was ordered in autumn.
pub const MAX_ORDER_LENGTH: Duration = Duration::from_secs(30 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parameters: &str, want: Option<Order>) {
        let got = parse(parameters).ok().map(|change| change.order);
        assert_eq!(got, want, "{parameters}");
    }

    #[test]
    fn an_order_is_read_whole_or_not_at_all() {
        let hour = Duration::from_secs(3_600);
        let terms = vec![
            (Attribute::Path, "/search".to_owned()),
            (Attribute::UserAgentFamily, "python-requests 2".to_owned()),
        ];
        check(
            "do=add&term.path=%2Fsearch&term.user-agent-family=python-requests%202&rung=demote&for_s=3600",
            Some(Order::Add { terms, rung: Rung::Demote, lasts: hour }),
        );
        let pin = Order::Pin { id: 7, rung: Rung::Block, lasts: hour };
        check("do=pin&id=7&rung=block&for_s=3600", Some(pin));
        check("do=veto&id=7&for_s=3600", Some(Order::Veto { id: 7, lasts: hour }));
        check("do=remove&id=7", Some(Order::Remove(7)));
        check("do=mode&mode=observe", Some(Order::Mode(Mode::Observe)));
        let prefix: Prefix = "192.0.2.0/24".parse().expect("a prefix");
        let listed = |lasts| Order::List { list: AddressList::Block, prefix, lasts };
        check("do=list&list=block&prefix=192.0.2.0%2F24", Some(listed(None)));
        check("do=list&list=block&prefix=192.0.2.7%2F24&for_s=3600", Some(listed(Some(hour))));
        check("do=unlist&prefix=192.0.2.0%2F24", Some(Order::Unlist(prefix)));
        for wrong in [
            "",
            "do=add",
            "do=pin&id=7&rung=offload&for_s=1",
            "do=pin&id=7&rung=block",
            "do=pin&id=7&rung=block&for_s=0",
            "do=pin&id=7&rung=block&for_s=9999999",
            "do=veto&id=x&for_s=1",
            "do=remove&id=7&id=8",
            "do=mode&mode=panic",
            "do=list&list=grey&prefix=192.0.2.1",
            "do=list&list=block&prefix=example.org",
            "do=list&list=block&prefix=192.0.2.1&for_s=x",
            "do=add&term.shoe-size=44&rung=demote&for_s=1",
            "do=remove&id=7&what=else",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_look_at_the_effect_is_told_from_an_order() {
        let is_dry = |parameters: &str| parse(parameters).map(|change| change.is_dry);
        assert_eq!(is_dry("do=remove&id=7"), Ok(false));
        assert_eq!(is_dry("do=remove&id=7&dry=1"), Ok(true));
        assert!(is_dry("do=remove&id=7&dry=yes").is_err());
    }

    #[test]
    fn every_attribute_has_a_flag_of_its_own() {
        let flags: std::collections::BTreeSet<_> = Attribute::ALL.map(flag_of).into();
        assert_eq!(flags.len(), Attribute::COUNT);
    }
}
