//! Somebody on the operator's allow list: a program that asks for a page every now and then, as a newsroom's
//! own monitoring does.
//!
//! Separate because it is in every run and no reader: it waits for nothing and loads no parts, and its random
//! numbers are its own, so that all others do what they would do without it. It looks like a tool, a common one of
//! attackers, has no credential, and is not there while it is learned what is ordinary: nothing speaks for it but the
//! list. The list is that of production, asked by the gates themselves.

use std::sync::Arc;

use seawall_model::{Cause, ClientAddr, Identity, Standing};

use crate::cohorts;
use crate::looks::{self, Look};
use crate::origin::Spread;
use crate::random::Random;
use crate::request::{Answer, Answered, SimNetwork, Target, TestStep, Visitor};
use crate::site::{PageId, Site};
use crate::surges::bare;
use crate::world::{Ask, Event, Owner, World};

/// Who is on the list.
#[derive(Debug)]
pub(crate) struct Listed {
    random: Random,
    visitor: Visitor,
    look: Arc<Look>,
}

/// Its address, of a block that is nobody's (RFC 5737).
pub(crate) fn listed_address() -> ClientAddr {
    cohorts::v4(0xc633_6407)
}

/// Requests for each page view of readers: one in five seconds where there are 60 views a second. Ten times as many, of which
/// nothing was learned, are an excess that adds up on the slow scale, and bring alarms that are due to no scenario.
const PER_VIEW: f64 = 1.0 / 300.0;

impl Listed {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x0011_57ed);
        let client = listed_address();
        let network = SimNetwork { asn: 64_500, country: *b"NL", is_tor: false };
        let (standing, identity) = (Standing::Anonymous, Identity::from(client));
        let visitor = Visitor { client, network, identity, standing, is_verified: false };
        let look = Arc::new(looks::tool(random.below(looks::TOOL_COUNT)));
        Self { random, visitor, look }
    }

    /// What chance does to the origin's work for it.
    pub(crate) fn draw(&mut self, spread: Spread) -> f64 {
        spread.draw(&mut self.random)
    }

    fn choose_page(&mut self, site: &Site) -> PageId {
        let random = &mut self.random;
        match random.unit() {
            dice if dice < 0.9 => site.popular(random),
            dice if dice < 0.97 => site.any(random, &site.forum),
            _ => site.any(random, &site.search),
        }
    }
}

impl World {
    /// It asks for a page, over a connection of its own, and will do so again.
    pub(crate) fn listed(&mut self) {
        let wait = self.listed.random.exponential() / (self.schedule.views_per_s * PER_VIEW);
        self.after(wait, Event::Listed);
        let site = Arc::clone(&self.site);
        let page = self.listed.choose_page(&site);
        let (visitor, look, now) = (self.listed.visitor, Arc::clone(&self.listed.look), self.now);
        self.record.listed.asked += 1;
        if self.shield().connect(now, &visitor, false).is_err() {
            self.record.listed.refused += 1;
            return;
        }
        let ask = Ask { is_document: true, ..bare(&visitor, &look, Target::Page(page)) };
        self.ask(Owner::Listed, &ask);
        self.shield().disconnect(now, &visitor);
    }

    pub(crate) fn listed_answered(&mut self, answered: &Answered) {
        let listed = &mut self.record.listed;
        match answered.answer {
            Answer::Page { .. } => {}
            Answer::Refused(cause) if is_of_origin(cause) => listed.put_off += 1,
            Answer::Test(TestStep::Around { is_turn: true, .. }) => listed.put_off += 1,
            Answer::Refused(_) | Answer::Test(_) => listed.refused += 1,
        }
    }
}

/// Whether it is for want of the origin. The list is no precedence there: rules that refuse do not apply to who is on
/// it, but its share of the origin is that of any newcomer.
const fn is_of_origin(cause: Cause) -> bool {
    matches!(cause, Cause::OriginBusy | Cause::OriginBudget | Cause::OriginFailed | Cause::MadeUp)
}
