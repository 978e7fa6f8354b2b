//! The languages in which Seawall speaks to readers.

/// A language that the pages and notes for readers are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the languages")]
pub enum Language {
    English,
    German,
    French,
    Spanish,
    TraditionalChinese,
    SimplifiedChinese,
    Ukrainian,
    Belarusian,
    Persian,
    Arabic,
}

impl Language {
    /// All of them, each at its place in tables of texts.
    pub const ALL: [Self; 10] = [
        Self::English,
        Self::German,
        Self::French,
        Self::Spanish,
        Self::TraditionalChinese,
        Self::SimplifiedChinese,
        Self::Ukrainian,
        Self::Belarusian,
        Self::Persian,
        Self::Arabic,
    ];

    /// The shortest BCP 47 tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::TraditionalChinese => "zh-Hant",
            Self::SimplifiedChinese => "zh-Hans",
            Self::Ukrainian => "uk",
            Self::Belarusian => "be",
            Self::Persian => "fa",
            Self::Arabic => "ar",
        }
    }

    /// What `dir` says in HTML.
    pub const fn direction(self) -> &'static str {
        match self {
            Self::Persian | Self::Arabic => "rtl",
            _ => "ltr",
        }
    }

    /// The digit nought. Western digits are read everywhere, but where others are the usual ones a reader
    /// sees them first. The other nine follow it in Unicode.
    pub const fn zero(self) -> char {
        match self {
            Self::Persian => '۰',
            Self::Arabic => '٠',
            _ => '0',
        }
    }

    /// The language of a tag or range of BCP 47 (RFC 5646, RFC 4647), in any case; `None` if it is not
    /// spoken here. Its first 64 bytes are read.
    pub fn of_tag(tag: &[u8]) -> Option<Self> {
        let tag = &tag[..tag.len().min(64)];
        let mut subtags = tag.split(|&byte| byte == b'-');
        let primary = subtags.next()?;
        if primary.eq_ignore_ascii_case(b"zh") {
            let is = |subtag: &[u8], names: &[&[u8]]| {
                names.iter().any(|name| subtag.eq_ignore_ascii_case(name))
            };
            // A script says it; regions that write traditional characters imply it.
            let simplified = subtags.clone().any(|subtag| is(subtag, &[b"hans"]));
            let traditional = subtags.any(|subtag| is(subtag, &[b"hant", b"tw", b"hk", b"mo"]));
            return Some(match traditional && !simplified {
                true => Self::TraditionalChinese,
                false => Self::SimplifiedChinese,
            });
        }
        let is_it = |known: &&Self| known.tag().as_bytes().eq_ignore_ascii_case(primary);
        Self::ALL.iter().find(is_it).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn every_language_is_found_by_its_tag_and_at_its_place() {
        for (at, language) in Language::ALL.into_iter().enumerate() {
            assert_eq!(language as usize, at);
            assert_eq!(Language::of_tag(language.tag().as_bytes()), Some(language));
        }
    }

    #[test]
    fn tags_with_regions_and_scripts_lead_to_the_language_that_is_spoken() {
        for (tag, want) in [
            ("de-AT", Some(Language::German)),
            ("UK-ua", Some(Language::Ukrainian)),
            ("zh", Some(Language::SimplifiedChinese)),
            ("zh-CN", Some(Language::SimplifiedChinese)),
            ("zh-Hans-TW", Some(Language::SimplifiedChinese)),
            ("zh-HK", Some(Language::TraditionalChinese)),
            ("ZH-HANT-CN", Some(Language::TraditionalChinese)),
            ("fa-IR", Some(Language::Persian)),
            ("deu", None),
            ("*", None),
            ("", None),
            ("zh\u{e9}", None),
        ] {
            assert_eq!(Language::of_tag(tag.as_bytes()), want, "{tag}");
        }
    }
}
