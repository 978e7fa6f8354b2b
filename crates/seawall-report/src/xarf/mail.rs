//! The drafts as mails: three parts, as RFC 5965 and XARF's e-mail transport want them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::export::{ExportError, ExportOptions};
use crate::{Moment, Report};

use super::{Complaint, complaints, contact, destination, line, to_json};

/// A mail that nobody sent. It has no `To`, `Date` or `Message-ID`: the first is for the operator to look up, the others
/// come from the program that sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who registered the network, or its prefix: drafts of one network go to one contact.
    pub network: String,
    /// The address that it is about.
    pub source: String,
    /// The mail (RFC 5322), as an `.eml` file.
    pub text: String,
}

/// The drafts as mails, ordered by network, each made when it is asked for, as [`super::pieces`] are.
///
/// # Errors
/// As [`super::pieces`].
pub fn mails<'r>(
    report: &'r Report,
    options: &'r ExportOptions,
) -> Result<impl Iterator<Item = Result<Draft, ExportError>> + 'r, ExportError> {
    let list = complaints(report, options)?;
    Ok(list.into_iter().map(move |one| {
        let text = mail(report, options, &one)?;
        Ok(Draft { network: one.network, source: one.address.address.clone(), text })
    }))
}

/// All drafts in one mailbox file, which mail programs open (RFC 4155; lines that begin with `From ` are quoted as in
/// `mboxrd`).
///
/// # Errors
/// As [`super::render`].
pub fn mbox(report: &Report, options: &ExportOptions) -> Result<String, ExportError> {
    let at = asctime(report.recorded_until);
    let mut text = String::new();
    for draft in mails(report, options)? {
        let draft = draft?;
        text.push_str(&format!("From seawall@localhost {at}\n"));
        for line in draft.text.split("\r\n") {
            if line.trim_start_matches('>').starts_with("From ") {
                text.push('>');
            }
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

fn mail(
    report: &Report,
    options: &ExportOptions,
    one: &Complaint<'_>,
) -> Result<String, ExportError> {
    let boundary = format!("seawall-{}", one.id);
    let json = serde_json::to_string_pretty(&to_json(report, options, one))?;
    let mut lines = vec![
        format!("From: {} <{}>", phrase(&options.reporter()), contact(options)),
        format!("Subject: XARF abuse report: HTTP flood from {}", one.address.address),
        // Mail programs open it as a draft.
        "X-Unsent: 1".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: multipart/report; report-type=feedback-report;".to_owned(),
        format!(" boundary=\"{boundary}\""),
        String::new(),
        format!("--{boundary}"),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: 8bit".to_owned(),
        String::new(),
    ];
    lines.extend(words(report, options, one));
    lines.extend([
        String::new(),
        format!("--{boundary}"),
        "Content-Type: message/feedback-report".to_owned(),
        "Content-Disposition: inline".to_owned(),
        String::new(),
        "Feedback-Type: xarf".to_owned(),
        format!("User-Agent: {}", product(&report.begin.software)),
        "Version: 1".to_owned(),
        String::new(),
        format!("--{boundary}"),
        "Content-Type: application/json; name=xarf.json".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
        "Content-Disposition: attachment; filename=xarf.json".to_owned(),
        String::new(),
    ]);
    let encoded = STANDARD.encode(json);
    // RFC 2045 §6.8: at most 76 characters a line.
    lines.extend(
        encoded.as_bytes().chunks(76).map(|part| String::from_utf8_lossy(part).into_owned()),
    );
    lines.extend([format!("--{boundary}--"), String::new()]);
    Ok(lines.join("\r\n"))
}

/// What a person reads first. Words of strangers never begin a line, so they can end no part.
fn words(report: &Report, options: &ExportOptions, one: &Complaint<'_>) -> Vec<String> {
    let address = one.address;
    let ports: Vec<String> = address.ports.iter().map(u16::to_string).collect();
    let to = destination(address).map_or_else(|| "not recorded".to_owned(), |to| to.to_string());
    vec![
        "An address of your network took part in a flood of HTTP requests.".to_owned(),
        String::new(),
        format!("Source:       {}", address.address),
        format!("Source ports: {}", ports.join(", ")),
        format!("Destination:  {to} (TCP)"),
        format!("First seen:   {} (UTC)", address.first_seen),
        format!("Last seen:    {} (UTC)", address.last_seen.max(address.first_seen)),
        format!("Refused:      at least {} requests", address.refused),
        format!("Sites:        {}", line(&report.begin.sites.join(", "))),
        format!("Network:      {} (as the reporter's lists say)", line(&one.network)),
        format!("Marking:      {}", options.tlp.label()),
        format!("Reference:    {}", one.id),
        String::new(),
        "The device may have been taken over, or be a proxy: this says nothing about who used it."
            .to_owned(),
        "Details are in the attached XARF report. Please look into it, and answer to:".to_owned(),
        format!("{} <{}>", line(&options.reporter()), contact(options)),
    ]
}

/// A name as RFC 5322 allows it: quoted, or encoded where it is not ASCII (RFC 2047, parts of at most 75 characters).
fn phrase(name: &str) -> String {
    if name.is_ascii() {
        return format!("\"{}\"", name.replace('\\', r"\\").replace('"', "\\\""));
    }
    let mut words = vec![String::new()];
    for letter in name.chars() {
        // 45 bytes become 60 letters of base64, with 12 around them.
        if words.last().is_some_and(|word| word.len() + letter.len_utf8() > 45) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    let encoded = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
    encoded.collect::<Vec<_>>().join("\r\n ")
}

/// `seawall 0.1.0` as `Seawall/0.1.0`; what a record says is not trusted to be that.
fn product(software: &str) -> String {
    let version = software.split_once(' ').map_or("", |(_, version)| version);
    let is_version = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
    };
    if is_version(version) { format!("Seawall/{version}") } else { "Seawall".to_owned() }
}

/// `Sun Nov 22 10:53:00 2026`, as a mailbox has it.
fn asctime(at: Moment) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.to_string();
    // 1970-01-01 was a Thursday.
    let day = DAYS[(at.unix_s() / 86_400 % 7) as usize];
    let month =
        text[5..7].parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{day} {} {} {} {}", month.unwrap_or(&"Jan"), &text[8..10], &text[11..19], &text[..4])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Edition, example};

    fn options() -> ExportOptions {
        ExportOptions {
            edition: Edition::Sealed,
            reporter: Some("The \"Daily\" Example".to_owned()),
            contact: Some("desk@daily.example".to_owned()),
            ..ExportOptions::default()
        }
    }

    #[test]
    fn a_mail_has_three_parts_and_nobody_to_go_to() {
        let (report, options) = (example(), options());
        let mails: Vec<Draft> =
            mails(&report, &options).expect("drafts").map(|one| one.expect("a draft")).collect();
        assert_eq!(mails.len(), example().addresses.len());
        assert!(mails.is_sorted_by_key(|one| one.network.clone()));
        for one in mails {
            let (head, body) = one.text.split_once("\r\n\r\n").expect("head and body");
            assert!(!head.lines().any(|line| line.starts_with("To:")), "{head}");
            assert!(
                head.starts_with("From: \"The \\\"Daily\\\" Example\" <desk@daily.example>\r\n")
            );
            assert_eq!(body.matches("\r\n--seawall-").count() + 1, 4);
            assert!(one.text.lines().all(|line| line.len() <= 998));
        }
    }

    #[test]
    fn names_in_other_scripts_are_encoded() {
        assert_eq!(phrase("Zeitung für"), "=?utf-8?B?WmVpdHVuZyBmw7xy?=");
        assert!(phrase(&"ж".repeat(200)).split("\r\n ").all(|word| word.len() <= 75));
    }

    #[test]
    fn a_mailbox_has_every_mail() {
        let text = mbox(&example(), &options()).expect("a mailbox");
        assert_eq!(text.lines().filter(|line| line.starts_with("From ")).count(), 4);
        assert!(text.starts_with("From seawall@localhost Sun Nov 22 "));
    }

    proptest! {
        // The example is made anew in each.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn words_of_strangers_end_no_part_and_add_no_field(
            words in r"[\PC\x00-\x1f]{0,80}", name in r"[\PC\x00-\x1f]{0,80}",
        ) {
            let mut report = example();
            report.begin.sites = vec![words.clone(), format!("\r\n--seawall-{words}\r\nBcc: {words}")];
            report.begin.software = format!("seawall {words}");
            report.mitigations.iter_mut().for_each(|one| one.signature.clone_from(&words));
            report.sources.iter_mut().for_each(|one| one.registered = Some(words.clone()));
            let options = ExportOptions { reporter: Some(name), ..options() };
            for one in mails(&report, &options).expect("drafts") {
                let one = one.expect("a draft");
                let (head, body) = one.text.split_once("\r\n\r\n").expect("head and body");
                let fields = head.split("\r\n").filter(|line| !line.starts_with(' ')).count();
                prop_assert_eq!(fields, 5);
                prop_assert_eq!(body.matches("\n--seawall-").count() + 1, 4);
            }
        }
    }
}
