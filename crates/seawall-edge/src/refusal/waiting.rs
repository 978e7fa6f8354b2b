//! The page of a reader who has to wait for a busy site, in the reader's language.
//!
//! Separate because it is the one refusal that many readers see at once, in a moment when the site
//! matters most; and so is the page of the cheap test, for who returns no cookie. It says when it loads
//! again by itself, which it does by a `Refresh` field and not by script. It does **not** say a place in the
//! queue: who waits on a page holds none.

use std::ops::RangeInclusive;

use seawall_model::{Cause, Fields, Language};

use super::STYLE;

/// What the page says in one language.
struct Texts {
    language: Language,
    heading: &'static str,
    reason: &'static str,
    /// Heading and reason for who is tested.
    tested: [&'static str; 2],
    /// With `{}` for the seconds, in the form that the language has for 11 to 20.
    wait: &'static str,
    again: &'static str,
    help: &'static str,
}

/// When a reader of the page comes back, in seconds. In this range nine of the languages have one form of
/// the word (Unicode CLDR: `many` of Ukrainian and Belarusian is 5 to 20) and Arabic has two.
pub(super) const AFTER_S: RangeInclusive<u64> = 8..=20;

/// The page in a language. It loads again after `seconds`, which lie in [`AFTER_S`]; of who is tested
/// between `MIN_WAIT` and `MAX_WAIT` of `seawall-decide`: from 5 on all languages have the forms
/// that they have up to 20.
pub(super) fn page(cause: Cause, language: Language, seconds: u64) -> String {
    html(cause, &LANGUAGES[language as usize], seconds)
}

/// The sentence that says when.
fn when(texts: &Texts, seconds: u64) -> String {
    let mut wait = texts.wait.to_owned();
    if texts.language == Language::Arabic && seconds <= 10 {
        // CLDR: `few` is 3 to 10, with the noun in the plural.
        wait = wait.replace("ثانية", "ثوانٍ");
    }
    let zero = texts.language.zero();
    let digit = |digit: char| digit.to_digit(10).and_then(|d| char::from_u32(zero as u32 + d));
    let number: String = seconds.to_string().chars().filter_map(digit).collect();
    // The two stay on one line.
    wait.replace("{} ", &format!("{number}\u{a0}"))
}

fn html(cause: Cause, texts: &Texts, seconds: u64) -> String {
    let Texts { language, again, help, .. } = texts;
    let [heading, reason] = match cause {
        Cause::Challenged => texts.tested,
        _ => [texts.heading, texts.reason],
    };
    let (tag, direction) = (language.tag(), language.direction());
    let wait = when(texts, seconds);
    let code = cause.code();
    format!(
        "<!DOCTYPE html>\n<html lang=\"{tag}\" dir=\"{direction}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{heading}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{heading}</h1>\n<p>{reason}</p>\n<p>{wait}</p>\n\
         <p class=\"go\"><a href=\"\">{again}</a></p>\n\
         <p class=\"code\">{help} <code dir=\"ltr\">{code}</code></p>\n</main>\n</body>\n</html>\n"
    )
}

/// Accept-Language (RFC 9110 §12.5.4): the first of the highest weight that is spoken here. No
/// allocation.
pub(super) fn choose(fields: &dyn Fields) -> Language {
    let mut best: Option<(Language, u32)> = None;
    let mut left = MAX_RANGES;
    fields.each("accept-language", &mut |line| {
        for range in line.split(|&byte| byte == b',').take(left) {
            left -= 1;
            let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let Some(language) = parts.next().and_then(Language::of_tag) else { continue };
            let weight = parts.next().map_or(1_000, weight);
            if weight > best.map_or(0, |(_, best)| best) {
                best = Some((language, weight));
            }
        }
    });
    best.map_or(Language::English, |(language, _)| language)
}

/// More ranges than any browser sends are not read.
const MAX_RANGES: usize = 32;

/// `q=0.8` in thousandths; what cannot be read counts for nothing.
fn weight(parameter: &[u8]) -> u32 {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
    let value: Option<f32> = value.and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
    value.filter(|q| (0.0..=1.0).contains(q)).map_or(0, |q| (q * 1_000.0) as u32)
}

/// In the order of [`Language::ALL`].
static LANGUAGES: [Texts; 10] = [
    Texts {
        language: Language::English,
        heading: "The site is busy",
        reason: "More people are asking for it right now than it can answer. Pages that others have \
                 read lately may still open.",
        tested: [
            "One moment, please",
            "This site is under attack and lets in those who can wait a moment: most attack programs do \
             not. You wait because your browser returned no cookie. Pages that others have read \
             lately open at once.",
        ],
        wait: "You need not do anything: this page tries again by itself in {} seconds.",
        again: "Try again now",
        help: "If you need help, tell the people who run this site the code",
    },
    Texts {
        language: Language::German,
        heading: "Die Website ist überlastet",
        reason: "Mehr Menschen rufen sie auf, als sie beantworten kann. Seiten, die andere vor Kurzem \
                 gelesen haben, öffnen sich vielleicht noch.",
        tested: [
            "Einen Moment bitte",
            "Diese Website wird angegriffen und lässt ein, wer kurz warten kann: Angriffsprogramme tun \
             das meist nicht. Sie warten, weil Ihr Browser kein Cookie zurückgegeben hat. Seiten, die \
             andere vor Kurzem gelesen haben, öffnen sich sofort.",
        ],
        wait: "Sie müssen nichts tun: Diese Seite versucht es in {} Sekunden von selbst noch \
               einmal.",
        again: "Jetzt noch einmal versuchen",
        help: "Wenn Sie Hilfe brauchen, nennen Sie den Betreibern der Website den Code",
    },
    Texts {
        language: Language::French,
        heading: "Le site est surchargé",
        reason: "Il reçoit plus de demandes qu’il ne peut en traiter. Les pages que d’autres ont lues \
                 récemment peuvent encore s’ouvrir.",
        tested: [
            "Un instant, s’il vous plaît",
            "Ce site est attaqué et laisse entrer ceux qui peuvent attendre un peu : la plupart des \
             programmes d’attaque ne le font pas. Vous attendez parce que votre navigateur n’a pas \
             renvoyé de cookie. Les pages que d’autres ont lues récemment s’ouvrent tout de suite.",
        ],
        wait: "Vous n’avez rien à faire : cette page réessaie d’elle-même dans {} secondes.",
        again: "Réessayer maintenant",
        help: "Si vous avez besoin d’aide, indiquez aux responsables du site le code",
    },
    Texts {
        language: Language::Spanish,
        heading: "El sitio está saturado",
        reason: "Recibe más visitas de las que puede atender. Es posible que las páginas que otros han \
                 leído hace poco todavía se abran.",
        tested: [
            "Un momento, por favor",
            "Este sitio está siendo atacado y deja entrar a quien puede esperar un poco: la mayoría de los \
             programas de ataque no lo hacen. Usted espera porque su navegador no devolvió ninguna \
             cookie. Las páginas que otros han leído hace poco se abren de inmediato.",
        ],
        wait: "No tiene que hacer nada: esta página vuelve a intentarlo por sí sola en {} segundos.",
        again: "Intentarlo ahora",
        help: "Si necesita ayuda, indique a los responsables del sitio el código",
    },
    Texts {
        language: Language::TraditionalChinese,
        heading: "網站目前忙碌中",
        reason: "造訪人數超過網站能處理的數量。其他人最近看過的頁面可能仍可開啟。",
        tested: [
            "請稍候片刻",
            "本站正遭受攻擊，只要稍候片刻即可進入：攻擊程式大多不會等待。您需要等候，是因為您的瀏覽器沒有傳回 Cookie。\
             其他人最近看過的頁面可立即開啟。",
        ],
        wait: "您不需要做任何事：本頁會在 {} 秒後自動重試。",
        again: "立即重試",
        help: "如需協助，請將此代碼告知網站管理者：",
    },
    Texts {
        language: Language::SimplifiedChinese,
        heading: "网站正忙",
        reason: "访问人数超出了网站的处理能力。其他人最近看过的页面可能仍能打开。",
        tested: [
            "请稍候片刻",
            "本站正遭受攻击，只要稍候片刻即可进入：攻击程序大多不会等待。您需要等候，是因为您的浏览器没有传回 Cookie。\
             其他人最近看过的页面可立即打开。",
        ],
        wait: "您无需任何操作：本页会在 {} 秒后自动重试。",
        again: "立即重试",
        help: "如需帮助，请将此代码告知网站管理者：",
    },
    Texts {
        language: Language::Ukrainian,
        heading: "Сайт перевантажений",
        reason: "До нього звертається більше людей, ніж він може обслужити. Сторінки, які нещодавно \
                 читали інші, можливо, відкриються.",
        tested: [
            "Зачекайте, будь ласка",
            "Цей сайт атакують, і він пускає тих, хто може трохи зачекати: програми нападників \
             здебільшого не чекають. Ви чекаєте, бо ваш браузер не повернув файл cookie. Сторінки, \
             які нещодавно читали інші, відкриваються одразу.",
        ],
        wait: "Нічого робити не потрібно: за {} секунд ця сторінка сама спробує ще раз.",
        again: "Спробувати зараз",
        help: "Якщо потрібна допомога, повідомте тим, хто веде цей сайт, код",
    },
    Texts {
        language: Language::Belarusian,
        heading: "Сайт перагружаны",
        reason: "Да яго звяртаецца больш людзей, чым ён можа абслужыць. Старонкі, якія нядаўна чыталі \
                 іншыя, магчыма, адкрыюцца.",
        tested: [
            "Пачакайце, калі ласка",
            "Гэты сайт атакуюць, і ён пускае тых, хто можа крыху пачакаць: праграмы нападнікаў \
             звычайна не чакаюць. Вы чакаеце, бо ваш браўзер не вярнуў файл cookie. Старонкі, якія \
             нядаўна чыталі іншыя, адкрываюцца адразу.",
        ],
        wait: "Нічога рабіць не трэба: праз {} секунд гэтая старонка сама паспрабуе яшчэ раз.",
        again: "Паспрабаваць зараз",
        help: "Калі патрэбна дапамога, паведаміце тым, хто вядзе гэты сайт, код",
    },
    Texts {
        language: Language::Persian,
        heading: "این وب‌سایت شلوغ است",
        reason: "بیش از توان پاسخ‌گویی آن بازدید می‌شود. شاید صفحه‌هایی که دیگران به‌تازگی خوانده‌اند هنوز باز شوند.",
        tested: [
            "لطفاً کمی صبر کنید",
            "به این وب‌سایت حمله شده است و کسانی را راه می‌دهد که بتوانند کمی صبر کنند: بیشتر برنامه‌های حمله صبر نمی‌کنند. شما منتظر می‌مانید چون مرورگرتان کوکی را برنگرداند. \
             صفحه‌هایی که دیگران به‌تازگی خوانده‌اند بی‌درنگ باز می‌شوند.",
        ],
        wait: "لازم نیست کاری بکنید: این صفحه {} ثانیهٔ دیگر خودش دوباره تلاش می‌کند.",
        again: "اکنون دوباره تلاش کنید",
        help: "اگر کمک می‌خواهید، این کد را به گردانندگان وب‌سایت بگویید:",
    },
    Texts {
        language: Language::Arabic,
        heading: "الموقع مشغول",
        reason: "عدد الزوار أكبر مما يستطيع الموقع خدمته. قد تُفتح الصفحات التي قرأها آخرون مؤخرًا.",
        tested: [
            "لحظة من فضلك",
            "يتعرض هذا الموقع لهجوم، ويُدخل من يستطيع الانتظار قليلًا: معظم برامج الهجوم لا تنتظر. أنت تنتظر لأن متصفحك لم يُعِد ملف تعريف الارتباط. \
             أما الصفحات التي قرأها آخرون مؤخرًا فتُفتح فورًا.",
        ],
        wait: "لا حاجة إلى فعل شيء: ستعيد هذه الصفحة المحاولة من تلقاء نفسها بعد {} ثانية.",
        again: "أعد المحاولة الآن",
        help: "إذا احتجت إلى مساعدة فأبلغ القائمين على الموقع بهذا الرمز:",
    },
];

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{ACCEPT_LANGUAGE, HeaderValue};
    use seawall_cache::MapFields;
    use seawall_decide::{MAX_WAIT, MIN_WAIT};
    use seawall_model::{Cause, Language};

    use super::{LANGUAGES, Texts, choose, html, when};

    fn words(texts: &Texts) -> [&'static str; 7] {
        let [heading, reason] = texts.tested;
        [heading, reason, texts.heading, texts.reason, texts.wait, texts.again, texts.help]
    }

    #[test]
    fn every_language_says_everything_in_words_of_its_own_and_in_two_packets() {
        assert_eq!(LANGUAGES.each_ref().map(|texts| texts.language), Language::ALL);
        for (at, texts) in LANGUAGES.iter().enumerate() {
            for other in &LANGUAGES[..at] {
                for (mine, theirs) in words(texts).into_iter().zip(words(other)) {
                    assert_ne!(
                        mine,
                        theirs,
                        "{} and {}",
                        texts.language.tag(),
                        other.language.tag()
                    );
                }
            }
            for word in words(texts) {
                assert!(word.len() > 8 && !word.contains(['<', '>', '&', '"']), "{word}");
            }
            for cause in [Cause::OriginBusy, Cause::Challenged] {
                let page = html(cause, texts, 20);
                assert!(page.len() < 2_048, "{}: {} bytes", texts.language.tag(), page.len());
                for forbidden in ["//", "<script", "http-equiv"] {
                    assert!(!page.contains(forbidden), "{}: {forbidden}", texts.language.tag());
                }
            }
        }
    }

    #[test]
    fn no_language_leaves_a_sentence_out() {
        let sentences = |text: &str| text.matches(['.', '。']).count();
        for texts in &LANGUAGES {
            for (mine, english) in words(texts).into_iter().zip(words(&LANGUAGES[0])) {
                assert_eq!(sentences(mine), sentences(english), "{}: {mine}", texts.language.tag());
            }
        }
    }

    #[track_caller]
    fn check(tag: &str, seconds: u64, want: &str) {
        let texts = LANGUAGES.iter().find(|texts| texts.language.tag() == tag).expect("a language");
        let said = when(texts, seconds).replace('\u{a0}', " ");
        assert!(said.contains(want), "{said}");
    }

    #[test]
    fn the_time_is_said_in_the_words_and_digits_of_the_language() {
        check("en", 8, "in 8 seconds.");
        check("de", 12, "in 12 Sekunden von selbst");
        check("fr", 20, "dans 20 secondes.");
        check("es", 9, "en 9 segundos.");
        check("zh-Hant", 15, "在 15 秒後");
        check("zh-Hans", 15, "在 15 秒后");
        check("uk", 8, "за 8 секунд ");
        check("be", 20, "праз 20 секунд ");
        check("fa", 19, "این صفحه ۱۹ ثانیهٔ دیگر");
        check("en", 5, "in 5 seconds.");
        check("uk", 5, "за 5 секунд ");
        check("ar", 5, "بعد ٥ ثوانٍ.");
        check("ar", 10, "بعد ١٠ ثوانٍ.");
        check("ar", 11, "بعد ١١ ثانية.");
        for texts in &LANGUAGES {
            for seconds in MIN_WAIT.as_secs()..=MAX_WAIT.as_secs() {
                let said = when(texts, seconds);
                assert!(!said.contains(['{', '}']) && said.chars().any(char::is_numeric), "{said}");
            }
        }
    }

    #[test]
    fn the_reader_gets_the_language_that_was_asked_for_first() {
        let cases = [
            ("", "en"),
            ("de", "de"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("ru-RU,ru;q=0.9,be;q=0.8,en;q=0.7", "be"),
            ("en;q=0.5, uk ;q=0.9", "uk"),
            ("zh-TW,zh;q=0.9", "zh-Hant"),
            ("zh-HK", "zh-Hant"),
            ("zh-Hans-TW", "zh-Hans"),
            ("zh-CN", "zh-Hans"),
            ("zh", "zh-Hans"),
            ("fa-IR", "fa"),
            ("AR-eg", "ar"),
            ("es;q=0", "en"),
            ("fr;q=zzz,es;q=0.1", "es"),
            ("*", "en"),
            ("tlh,xx,,;;;q=,fr-CA", "fr"),
        ];
        for (accepted, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accepted));
            assert_eq!(choose(&MapFields(&headers)).tag(), want, "{accepted}");
        }
        let mut headers = HeaderMap::new();
        let many = format!("{}de", "xx,".repeat(4_000));
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_str(&many).expect("a value"));
        assert_eq!(choose(&MapFields(&headers)).tag(), "en");
    }
}
