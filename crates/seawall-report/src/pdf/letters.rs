//! Words as the standard fonts have them: WinAnsi, and what is shown of letters that are not in it.
//!
//! Cyrillic and Greek are written in Latin letters, and Latin ones with marks that WinAnsi lacks without them; of other
//! scripts the numbers of the characters are shown. In each case the true letters go along (`ActualText`), so that who
//! copies, searches, or has it read aloud gets them.

/// A word, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// In WinAnsi.
    pub(super) shown: Vec<u8>,
    /// What it is, where that is not what is shown.
    pub(super) actual: Option<String>,
}

/// Characters of a word in a script that the fonts lack, of which numbers are shown.
const MAX_NUMBERS: usize = 6;

/// `word`, which has no spaces, as it is shown.
pub(super) fn word(word: &str) -> Word {
    if let Some(shown) = word.chars().map(win_ansi).collect::<Option<Vec<u8>>>() {
        return Word { shown, actual: None };
    }
    let mut shown = Vec::new();
    let mut unknown: Vec<char> = Vec::new();
    for c in word.chars() {
        let latin = win_ansi(c).map(|byte| vec![byte]).or_else(|| latin(c));
        match latin {
            Some(bytes) => {
                numbers(&mut shown, &mut unknown);
                shown.extend(bytes);
            }
            None => unknown.push(c),
        }
    }
    numbers(&mut shown, &mut unknown);
    Word { shown, actual: Some(word.to_owned()) }
}

fn numbers(shown: &mut Vec<u8>, unknown: &mut Vec<char>) {
    if unknown.is_empty() {
        return;
    }
    let text = if unknown.len() > MAX_NUMBERS {
        format!("[{} characters: see the HTML]", unknown.len())
    } else {
        let numbers: Vec<String> = unknown.iter().map(|c| format!("U+{:04X}", *c as u32)).collect();
        format!("[{}]", numbers.join(" "))
    };
    shown.extend(text.bytes());
    unknown.clear();
}

/// The byte of `c` in WinAnsi.
fn win_ansi(c: char) -> Option<u8> {
    /// From 0x80 on; what is not a character there is a space.
    const UPPER: &str = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ";
    match c {
        ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{ff}' => u8::try_from(u32::from(c)).ok(),
        '\u{a0}' | '\u{202f}' => Some(b' '),
        '\u{2212}' => Some(0x96),
        '\u{2010}' | '\u{2011}' => Some(b'-'),
        // What joins letters of other scripts is not seen.
        _ => {
            let place = UPPER.chars().position(|each| each == c)?;
            u8::try_from(0x80 + place).ok()
        }
    }
}

/// Cyrillic letters from `А`, as for passports (ICAO 9303), and those beyond.
const CYRILLIC: [&str; 32] = [
    "A", "B", "V", "G", "D", "E", "Zh", "Z", "I", "I", "K", "L", "M", "N", "O", "P", "R", "S", "T",
    "U", "F", "Kh", "Ts", "Ch", "Sh", "Shch", "Ie", "Y", "", "E", "Iu", "Ia",
];
const MORE: [(&str, &str); 13] = [
    ("ЁЄѐ", "E"),
    ("Ђ", "D"),
    ("Ѓ", "G"),
    ("Ѕ", "Dz"),
    ("ІЇ", "I"),
    ("Ј", "J"),
    ("Љ", "Lj"),
    ("Њ", "Nj"),
    ("Ћ", "C"),
    ("Ќ", "K"),
    ("Ў", "U"),
    ("Џ", "Dz"),
    ("Ґ", "G"),
];
/// Greek letters from `Α` (ISO 843); the place of `΢` is empty.
const GREEK: [&str; 25] = [
    "A", "V", "G", "D", "E", "Z", "I", "Th", "I", "K", "L", "M", "N", "X", "O", "P", "R", "", "S",
    "T", "Y", "F", "Ch", "Ps", "O",
];
const ACCENTED_GREEK: (&str, &str) = ("άέήίόύώϊϋΐΰςΆΈΉΊΌΎΏ", "aeiioyoiyiysAEIIOYO");
/// Latin letters with marks, and what is left of them without.
const MARKED: [(&str, char); 32] = [
    ("ĀĂĄǍẠẢẤẦẨẪẬẮẰẲẴẶ", 'A'),
    ("āăąǎạảấầẩẫậắằẳẵặ", 'a'),
    ("ĆĈĊČ", 'C'),
    ("ćĉċč", 'c'),
    ("ĎĐ", 'D'),
    ("ďđ", 'd'),
    ("ĒĔĖĘĚẸẺẼẾỀỂỄỆ", 'E'),
    ("ēĕėęěẹẻẽếềểễệ", 'e'),
    ("ĜĞĠĢ", 'G'),
    ("ĝğġģ", 'g'),
    ("ĤĦ", 'H'),
    ("ĥħ", 'h'),
    ("ĨĪĬĮİỈỊ", 'I'),
    ("ĩīĭįıỉị", 'i'),
    ("Ĵ", 'J'),
    ("ĵ", 'j'),
    ("Ķ", 'K'),
    ("ķ", 'k'),
    ("ĹĻĽŁ", 'L'),
    ("ĺļľł", 'l'),
    ("ŃŅŇ", 'N'),
    ("ńņňŉ", 'n'),
    ("ŌŎŐƠỌỎỐỒỔỖỘỚỜỞỠỢ", 'O'),
    ("ōŏőơọỏốồổỗộớờởỡợ", 'o'),
    ("ŔŖŘ", 'R'),
    ("ŕŗř", 'r'),
    ("ŚŜŞȘ", 'S'),
    ("śŝşș", 's'),
    ("ŢŤŦȚ", 'T'),
    ("ţťŧț", 't'),
    ("ŨŪŬŮŰŲƯỤỦỨỪỬỮỰ", 'U'),
    ("ũūŭůűųưụủứừửữự", 'u'),
];

/// `c` in Latin letters.
fn latin(c: char) -> Option<Vec<u8>> {
    let is_small = c.is_lowercase();
    let large = if is_small { c.to_uppercase().next().unwrap_or(c) } else { c };
    let cased = |text: &str| {
        let text = if is_small { text.to_ascii_lowercase() } else { text.to_owned() };
        Some(text.into_bytes())
    };
    let nth = |first: char| (u32::from(large).wrapping_sub(u32::from(first))) as usize;
    if let Some((_, plain)) = MARKED.iter().find(|(marked, _)| marked.contains(c)) {
        return Some(vec![*plain as u8]);
    }
    if let Some(at) = ACCENTED_GREEK.0.chars().position(|each| each == c) {
        return ACCENTED_GREEK.1.as_bytes().get(at).map(|byte| vec![*byte]);
    }
    if let Some(text) = CYRILLIC.get(nth('А')) {
        return cased(text);
    }
    if let Some((_, text)) = MORE.iter().find(|(letters, _)| letters.contains(large)) {
        return cased(text);
    }
    if let Some(text) = GREEK.get(nth('Α')) {
        return cased(text);
    }
    match c {
        'Ź' | 'Ż' => Some(b"Z".to_vec()),
        'ź' | 'ż' => Some(b"z".to_vec()),
        'Ŵ' => Some(b"W".to_vec()),
        'ŵ' => Some(b"w".to_vec()),
        'Ŷ' | 'Ỳ' | 'Ỵ' | 'Ỷ' | 'Ỹ' => Some(b"Y".to_vec()),
        'ŷ' | 'ỳ' | 'ỵ' | 'ỷ' | 'ỹ' => Some(b"y".to_vec()),
        // Marks that stand by themselves, and what joins or parts letters.
        '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' => Some(Vec::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let word = word(text);
        let shown: String = word.shown.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(shown, want);
        assert_eq!(word.actual.is_some(), shown != text, "{text}");
    }

    #[test]
    fn letters_that_the_fonts_lack_are_shown_in_latin_ones_or_by_number() {
        check("Zoë", "Zoë");
        check("Марија", "Marija");
        check("Петровић", "Petrovic");
        check("Щука", "Shchuka");
        check("Łódź", "Lódz");
        check("Nguyễn", "Nguyen");
        check("Αθήνα", "Athina");
        check("範例", "[U+7BC4 U+4F8B]");
        check("x範例範例範例範", "x[7 characters: see the HTML]");
    }

    #[test]
    fn what_is_not_shown_goes_along() {
        assert_eq!(word("Марија").actual.as_deref(), Some("Марија"));
        assert_eq!(word("\u{2013}\u{2026}\u{20ac}").shown, [0x96, 0x85, 0x80]);
    }
}
