//! The words: headlines, bylines and prose put together from lists, the same for the same seed.

use std::time::{Duration, SystemTime};

use crate::rng::Rng;

/// One story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Article {
    /// Where it stands, for example `/2024/05/harbour-board-delays-vote/`.
    pub path: String,
    /// The headline.
    pub title: String,
    /// The part of the paper it stands in.
    pub section: &'static str,
    /// Who wrote it.
    pub byline: String,
    /// The first sentence, shown in lists.
    pub summary: String,
    /// The address of its picture.
    pub picture: String,
    /// Seconds since 1970 at which it appeared.
    pub published_s: u64,
    topic: Topic,
    story_seed: u64,
}

impl Article {
    /// The story itself, written anew each time it is asked for, and always the same.
    pub fn paragraphs(&self) -> Vec<String> {
        let mut rng = Rng::stream(self.story_seed, "story");
        let mut topic = self.topic.clone();
        (0..13 + rng.below(10)).map(|_| write_paragraph(&mut rng, &mut topic)).collect()
    }

    /// Publication date as in feeds (RFC 9110 §5.6.7).
    pub fn http_date(&self) -> String {
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.published_s))
    }

    /// Publication day for people: `06 Nov 1994`.
    pub fn day(&self) -> String {
        self.http_date().get(5..16).unwrap_or_default().to_owned()
    }
}

/// The parts of the paper.
pub(crate) const SECTIONS: [&str; 6] =
    ["Harbour", "Politics", "Science", "Culture", "Sport", "Opinion"];

/// Writes all stories of `seed`, newest first.
pub(crate) fn write_articles(seed: u64) -> Vec<Article> {
    let mut rng = Rng::stream(seed, "articles");
    (0..ARTICLES).map(|number| write_article(&mut rng, &NEWS, ARTICLES - number)).collect()
}

/// Writes the old stories of `seed`, newest first.
pub(crate) fn write_old_stories(seed: u64) -> Vec<Article> {
    let mut rng = Rng::stream(seed, "old stories");
    (0..OLD_STORIES).map(|number| write_article(&mut rng, &OLD, OLD_STORIES - number)).collect()
}

/// A run of stories: where they stand and when they appeared.
struct Run {
    /// What their addresses begin with.
    root: &'static str,
    stories: usize,
    /// Seconds since 1970 of the newest.
    newest_s: u64,
}

fn write_article(rng: &mut Rng, run: &Run, number: usize) -> Article {
    let section = rng.pick(&SECTIONS);
    let topic = Topic::draw(rng);
    let title = topic.fill(rng.pick(&HEADLINES));
    // Eleven hours apart, back from the newest: the paper has been at it for four months.
    let published_s = run.newest_s - (run.stories - number) as u64 * 39_600;
    let summary = topic.fill(rng.pick(&LEADS));
    Article {
        path: format!("{}{}/{}-{number}/", run.root, year_and_month(published_s), slug(&title)),
        title,
        section,
        byline: format!("{} {}", rng.pick(&FIRST_NAMES), rng.pick(&LAST_NAMES)),
        summary,
        picture: format!("/img/agency-{:02}.svg", rng.below(PICTURES)),
        published_s,
        topic,
        story_seed: rng.draw(),
    }
}

fn write_paragraph(rng: &mut Rng, topic: &mut Topic) -> String {
    let mut paragraph = String::with_capacity(1024);
    for sentence in 0..5 + rng.below(4) {
        if sentence > 0 {
            paragraph.push(' ');
        }
        topic.turn(rng);
        paragraph.push_str(&topic.fill(rng.pick(&SENTENCES)));
    }
    paragraph
}

/// What a story is about: the words that stay the same from sentence to sentence, and those that
/// change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Topic {
    place: &'static str,
    body: &'static str,
    matter: &'static str,
    person: String,
    role: &'static str,
    day: &'static str,
    number: usize,
    quality: &'static str,
    other_place: &'static str,
    other_matter: &'static str,
}

impl Topic {
    fn draw(rng: &mut Rng) -> Self {
        let person = format!("{} {}", rng.pick(&FIRST_NAMES), rng.pick(&LAST_NAMES));
        let mut topic = Self {
            place: rng.pick(&PLACES),
            body: rng.pick(&BODIES),
            matter: rng.pick(&MATTERS),
            person,
            role: rng.pick(&ROLES),
            day: "",
            number: 0,
            quality: "",
            other_place: "",
            other_matter: "",
        };
        topic.turn(rng);
        topic
    }

    fn turn(&mut self, rng: &mut Rng) {
        self.day = rng.pick(&DAYS);
        self.number = 12 + rng.below(880);
        self.quality = rng.pick(&QUALITIES);
        self.other_place = rng.pick(&PLACES);
        self.other_matter = rng.pick(&MATTERS);
    }

    fn fill(&self, template: &str) -> String {
        let mut parts = template.split(['{', '}']);
        let mut filled = String::with_capacity(template.len() + 64);
        while let Some(plain) = parts.next() {
            filled.push_str(plain);
            match parts.next() {
                Some("place") => filled.push_str(self.place),
                Some("body") => filled.push_str(self.body),
                Some("matter") => filled.push_str(self.matter),
                Some("person") => filled.push_str(&self.person),
                Some("role") => filled.push_str(self.role),
                Some("day") => filled.push_str(self.day),
                Some("number") => filled.push_str(&self.number.to_string()),
                Some("quality") => filled.push_str(self.quality),
                Some("elsewhere") => filled.push_str(self.other_place),
                Some("besides") => filled.push_str(self.other_matter),
                Some(_) | None => {}
            }
        }
        capitalised(&filled)
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn slug(title: &str) -> String {
    let words: Vec<String> = title
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(7)
        .map(str::to_lowercase)
        .collect();
    words.join("-")
}

fn year_and_month(seconds: u64) -> String {
    let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let month = date
        .get(8..11)
        .and_then(|name| MONTHS.iter().position(|month| *month == name))
        .map_or(1, |at| at + 1);
    format!("{}/{month:02}", date.get(12..16).unwrap_or("2024"))
}

const ARTICLES: usize = 300;

const OLD_STORIES: usize = 60;

/// What is in the paper now.
const NEWS: Run = Run { root: "/", stories: ARTICLES, newest_s: NEWEST_S };

/// What was in it ten years before.
const OLD: Run = Run { root: OLD_ROOT, stories: OLD_STORIES, newest_s: NEWEST_S - 315_576_000 };

/// Where the old stories stand.
pub(crate) const OLD_ROOT: &str = "/files/";

/// A local paper buys its pictures from one agency and uses them again and again.
pub(crate) const PICTURES: usize = 24;

/// 18 September 2024, 06:00 UTC. Fixed, since the paper has no clock.
const NEWEST_S: u64 = 1_726_639_200;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const DAYS: [&str; 9] = [
    "on Monday",
    "on Tuesday",
    "on Wednesday",
    "on Thursday",
    "on Friday",
    "over the weekend",
    "late last week",
    "early this morning",
    "after a long evening",
];

const PLACES: [&str; 20] = [
    "Port Aldry",
    "Saltmarsh",
    "Kelby",
    "Northquay",
    "the Lower Basin",
    "Heron Point",
    "Marrow Bay",
    "Eastfleet",
    "the old customs yard",
    "Tern Island",
    "Wexcombe",
    "Sandhythe",
    "Millrace",
    "the fish market",
    "Gullgate",
    "Upper Tidewater",
    "the river mouth",
    "Dunmore Sands",
    "Saint Orla's",
    "the ropewalk",
];

const BODIES: [&str; 16] = [
    "the harbour board",
    "the town council",
    "the county court",
    "the teachers' union",
    "the lifeboat crew",
    "the ferry company",
    "the water authority",
    "the housing office",
    "the fishing cooperative",
    "the museum trust",
    "the election office",
    "the hospital board",
    "the dockers' chapel",
    "the planning inspectorate",
    "the school governors",
    "the auditor",
];

const MATTERS: [&str; 24] = [
    "the new sea wall",
    "the ferry timetable",
    "the price of diesel",
    "the dredging contract",
    "the library's opening hours",
    "the flood maps",
    "the closed footbridge",
    "the herring quota",
    "the school roof",
    "the hospital's night shift",
    "the unpaid invoices",
    "the wind farm cable",
    "the archive of the old paper",
    "the bus to the mainland",
    "the oyster beds",
    "the council's reserves",
    "the lighthouse lamp",
    "the storm drain",
    "the missing minutes",
    "the public moorings",
    "the tide gauge",
    "the winter festival",
    "the allotments",
    "the emergency sirens",
];

const ROLES: [&str; 14] = [
    "the harbour master",
    "a retired pilot",
    "the council leader",
    "a marine biologist",
    "the head teacher",
    "a ferry captain",
    "the opposition's spokeswoman",
    "an engineer",
    "the market's longest-serving trader",
    "a nurse on the night shift",
    "the town clerk",
    "a historian",
    "the club's goalkeeper",
    "a lawyer for the residents",
];

const FIRST_NAMES: [&str; 24] = [
    "Amara", "Bram", "Celia", "Dunya", "Elias", "Farah", "Goran", "Hanne", "Ines", "Jonas",
    "Kaveh", "Lena", "Marek", "Noor", "Oskar", "Petra", "Quentin", "Rosa", "Samir", "Tilda", "Uma",
    "Viktor", "Wanda", "Yusuf",
];

const LAST_NAMES: [&str; 24] = [
    "Abbott",
    "Brandt",
    "Castell",
    "Dray",
    "Ekström",
    "Fenwick",
    "Garrod",
    "Hollis",
    "Imrie",
    "Jessop",
    "Kerr",
    "Lindqvist",
    "Marsh",
    "Novak",
    "Okafor",
    "Pell",
    "Quill",
    "Reyes",
    "Sorley",
    "Thackeray",
    "Umber",
    "Vance",
    "Whitlock",
    "Yarrow",
];

const QUALITIES: [&str; 14] = [
    "cautious",
    "overdue",
    "unusually frank",
    "modest",
    "expensive",
    "welcome",
    "unfinished",
    "careful",
    "hurried",
    "popular",
    "contested",
    "sensible",
    "surprising",
    "costly",
];

const HEADLINES: [&str; 16] = [
    "{body} delays vote on {matter}",
    "{place} asks what became of {matter}",
    "{role} warns over {matter}",
    "Questions in {place} about {matter}",
    "{body} publishes figures on {matter}",
    "A {quality} plan for {matter}",
    "{person}: why {matter} matters to {place}",
    "{matter} divides {place}",
    "{number} sign petition over {matter}",
    "{body} and {matter}: what we know",
    "How {place} learned to live with {matter}",
    "{matter} returns to the agenda",
    "{place} wins a {quality} reprieve",
    "Night work begins near {place}",
    "{body} loses appeal over {matter}",
    "Letters: {matter} and the rest of us",
];

const LEADS: [&str; 8] = [
    "{body} has until the end of the month to decide on {matter}, and {place} is watching.",
    "For {number} households in {place}, {matter} is no longer an abstract question.",
    "{role} calls the plan {quality}; {body} calls it the only one there is.",
    "What was decided {day} in {place}, what was not, and who has to pay for it.",
    "Documents seen by this paper show how {matter} came to cost {number} thousand more.",
    "{person} has spent a year on {matter} and says the hard part is still to come.",
    "A {quality} compromise on {matter} was reached {day}, against expectations.",
    "{place} has waited long for news of {matter}. It came {day}, in two lines.",
];

const SENTENCES: [&str; 44] = [
    "{body} met {day} to discuss {matter}, and the room was fuller than the chairs allowed.",
    "“Nobody here is against {matter},” said {person}, {role}, “but somebody has to count the cost.”",
    "The figures, published {day}, put the bill at {number} thousand, not including {besides}.",
    "In {place} the mood was {quality}.",
    "A spokesman for {body} declined to say when the next report is due.",
    "{person} remembers when {elsewhere} had the same argument and lost it.",
    "There were {number} letters, most of them handwritten, and all but a few asked for more time.",
    "The plan would also touch {besides}, though the annex that says so is {number} pages in.",
    "What happens in {elsewhere} depends on the tide, the weather and the patience of the bank.",
    "Two engineers walked the length of the quay {day} and came back with a {quality} list.",
    "“We were told it would take a year,” {person} said. “That was {number} weeks ago.”",
    "The minutes do not record who asked for the change.",
    "Residents of {elsewhere} have heard this before, and say so.",
    "By the afternoon the queue reached the corner of the square and did not move.",
    "{body} points to {besides} as proof that such things can be done on time.",
    "Critics call the idea {quality}; its friends call it the least bad of three.",
    "The contract was signed {day}, in the presence of {number} people and one dog.",
    "It is a {quality} sum for a town of this size.",
    "Nothing in the file explains why {besides} was left out.",
    "{role} put it more simply: the sea does not read the minutes.",
    "Of the {number} objections, a third concern noise and a third concern money.",
    "A second hearing is set for next month in {elsewhere}.",
    "The last time {matter} was on the agenda, the meeting ended by candlelight.",
    "“If it fails, it will fail at night and at high water,” said {person}.",
    "The auditor's note is {quality}, and it is the shortest page in the file.",
    "Fishing boats from {elsewhere} stayed in port {day} to make the point.",
    "The council's own survey found {number} cracks, of which nine are said to matter.",
    "Work on {besides} goes on meanwhile, one shift at a time.",
    "In {place}, people have begun to measure the water themselves.",
    "A copy of the agreement hangs behind glass in the town hall; its third clause is the one that counts.",
    "Teachers took their classes to see it, and the drawings now cover a wall of the library.",
    "{body} has promised a public register, searchable and free.",
    "The insurer's letter arrived {day} and was read aloud, twice.",
    "Even the opposition found little to say against the {quality} timetable.",
    "The ferry was late, so the vote was too.",
    "By law the papers must lie open for {number} days.",
    "“I have a shop to run,” {person} said, and went back to running it.",
    "The old drawings show {besides} in a different place altogether.",
    "A {quality} silence followed, and then the clerk asked for the next item.",
    "Volunteers from {elsewhere} have offered {number} hours of work, with tools.",
    "The broadcaster's archive has four minutes of film on it, without sound.",
    "Whether that is enough for {place} will be known by spring.",
    "The court did not rule on {besides}, which leaves that door open.",
    "For now the barrier stays where it is, and so does the argument.",
];
