//! What must hold before and behind Seawall alike.
//!
//! Each check is one claim about the site as somebody sees it. They run on both sides: without
//! Seawall they show that the check itself sees what it is about.

use std::fmt;
use std::fs;

use serde_json::{Value, json};

use crate::Outcome;

use super::client::{Answer, Visitor};
use super::stack::Stack;

/// One claim, and what spoke against it.
pub(crate) struct Check {
    name: &'static str,
    pub(crate) problem: Option<String>,
}

impl Check {
    /// As an object with `name`, `ok` and `problem`.
    pub(crate) fn json(&self) -> Value {
        json!({ "name": self.name, "ok": self.problem.is_none(), "problem": self.problem })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            None => write!(f, "ok      {}", self.name),
            Some(problem) => write!(f, "FAILED  {}: {problem}", self.name),
        }
    }
}

/// Who takes part on one side.
struct Scene<'a> {
    side: &'static str,
    port: u16,
    stack: &'a Stack,
    editor: Visitor,
}

impl Scene<'_> {
    fn stranger(&self, number: u8) -> Visitor {
        Visitor::stranger(self.port, &format!("127.10.0.{number}"), self.stack.folder())
    }

    fn person(&self, number: u8) -> Visitor {
        Visitor::with_cookies(self.port, &format!("127.11.0.{number}"), self.stack.folder())
    }
}

/// A claim and how it is tried.
type Claim = (&'static str, fn(&Scene<'_>) -> Outcome);

const CLAIMS: &[Claim] = &[
    ("pages, feeds and files are the origin's, byte for byte", same_bytes),
    ("compressed pages decode to the same bytes", same_bytes_compressed),
    ("a page read twice is answered from what is held", second_read_is_held),
    ("an editor logs in and sees the dashboard", login),
    ("an editor posts and readers see it", posting),
    ("an editor uploads 8 MiB and readers get the same bytes", upload),
    ("an editor's session never reaches another reader", editor_stays_private),
    ("a protected post never reaches a reader without the password", protected_stays_protected),
    ("a commenter's name and mail never reach another reader", commenter_stays_private),
    ("nobody is handed somebody else's cookie", no_cookies_for_strangers),
];

/// Tries every claim.
///
/// # Errors
/// Never for a claim that fails; only when there is nobody to try with.
pub(crate) fn run(side: &'static str, port: u16, stack: &Stack) -> Outcome<Vec<Check>> {
    let editor = Visitor::with_cookies(port, "127.11.0.1", stack.folder());
    let scene = Scene { side, port, stack, editor };
    let tried = CLAIMS.iter().map(|(name, claim)| Check { name, problem: claim(&scene).err() });
    Ok(tried.collect())
}

fn same_bytes(scene: &Scene<'_>) -> Outcome {
    same_bytes_with(scene, &[])
}

fn same_bytes_compressed(scene: &Scene<'_>) -> Outcome {
    same_bytes_with(scene, &["--compressed"])
}

fn same_bytes_with(scene: &Scene<'_>, arguments: &[&str]) -> Outcome {
    let direct = Visitor::stranger(scene.stack.origin_port(), "127.10.1.1", scene.stack.folder());
    let through = scene.stranger(2);
    for path in [
        "/",
        "/story-1/",
        "/story-17/",
        "/story-36/",
        "/page/2/",
        "/feed/",
        "/wp-includes/js/jquery/jquery.min.js",
        "/wp-content/themes/twentytwentyone/style.css",
        "/wp-includes/images/w-logo-blue.png",
    ] {
        let expected = direct.page(path)?;
        // The first answer fills the cache, the second comes from it.
        for _ in 0..2 {
            let found = through.fetch(path, arguments)?.expect(200)?;
            if found.body != expected.body {
                let (found, expected) = (found.body.len(), expected.body.len());
                return Err(format!("{path}: {found} bytes differ from the origin's {expected}"));
            }
        }
    }
    Ok(())
}

/// Without this the checks on privacy would say nothing: what holds no page leaks none.
fn second_read_is_held(scene: &Scene<'_>) -> Outcome {
    if scene.side == "without" {
        return Ok(());
    }
    for path in ["/", "/story-1/", "/story-3/"] {
        scene.stranger(10).page(path)?;
        let answer = scene.stranger(11).page(path)?;
        let status = answer.field("cache-status").unwrap_or("no Cache-Status");
        // RFC 9211 §2.1: `hit` says that it was answered without asking the origin.
        if !status.split(';').any(|parameter| parameter.trim() == "hit") {
            return Err(format!("{path}: {status}"));
        }
    }
    Ok(())
}

fn login(scene: &Scene<'_>) -> Outcome {
    scene.editor.log_in()
}

/// The path of an address on the site.
fn path_of(url: &Value) -> Outcome<String> {
    let path = url.as_str().and_then(|url| url.strip_prefix("http://example.test"));
    path.map(str::to_owned).ok_or_else(|| format!("`{url}` is no address on the site"))
}

fn posting(scene: &Scene<'_>) -> Outcome {
    let title = format!("Posted {} Seawall", scene.side);
    let post = json!({ "title": title, "content": "the-posted-sentence", "status": "publish" });
    let arguments = ["-H", "Content-Type: application/json", "-d", &post.to_string()];
    let created = scene.editor.call("/wp-json/wp/v2/posts", &arguments)?;
    let path = path_of(&created["link"])?;
    for number in 3..6 {
        contains(&scene.stranger(number).page(&path)?, "the-posted-sentence")?;
    }
    Ok(())
}

fn upload(scene: &Scene<'_>) -> Outcome {
    let bytes: Vec<u8> = (0..8u32 << 20).map(|index| b'a' + (index % 23) as u8).collect();
    let file = scene.stack.folder().join("upload.txt");
    fs::write(&file, &bytes).map_err(|error| format!("cannot write the upload: {error}"))?;
    let data = format!("@{}", file.display());
    let name = format!("Content-Disposition: attachment; filename=upload-{}.txt", scene.side);
    let arguments = ["-H", "Content-Type: text/plain", "-H", &name, "--data-binary", &data];
    let created = scene.editor.call("/wp-json/wp/v2/media", &arguments)?;
    let path = path_of(&created["source_url"])?;
    for number in 3..5 {
        if scene.stranger(number).page(&path)?.body != bytes {
            return Err(format!("{path} differs from what was uploaded"));
        }
    }
    Ok(())
}

fn editor_stays_private(scene: &Scene<'_>) -> Outcome {
    // A page that nobody has seen yet, one that is surely held, and one for each kind of address.
    let unseen = format!("/story-30/?first-seen-by-the-editor-{}", scene.side);
    for path in [unseen.as_str(), "/", "/story-2/", "/?p=5", "/feed/"] {
        for _ in 0..2 {
            let own = scene.editor.fetch(path, &["-L"])?.expect(200)?;
            if path != "/feed/" {
                contains(&own, "wpadminbar").map_err(|error| format!("for the editor: {error}"))?;
            }
            let other = scene.stranger(6).fetch(path, &["-L"])?.expect(200)?;
            for mark in ["wpadminbar", "wp-admin-bar", "_wpnonce", "Log Out"] {
                lacks(&other, mark).map_err(|error| format!("{path}: {error}"))?;
            }
        }
    }
    Ok(())
}

fn protected_stays_protected(scene: &Scene<'_>) -> Outcome {
    let member = scene.person(2);
    let path = "/members/";
    let secret = "the-protected-sentence";
    lacks(&scene.stranger(7).page(path)?, secret)?;
    let form = "post_password=members-password-1&Submit=Enter";
    let referer = "Referer: http://example.test/members/";
    let answer = member.fetch("/wp-login.php?action=postpass", &["-d", form, "-H", referer])?;
    answer.expect(302)?;
    for _ in 0..2 {
        contains(&member.page(path)?, secret).map_err(|error| format!("for a member: {error}"))?;
        lacks(&scene.stranger(8).page(path)?, secret)?;
    }
    let unseen = format!("/members/?first-seen-by-a-member-{}", scene.side);
    contains(&member.page(&unseen)?, secret)?;
    lacks(&scene.stranger(8).page(&unseen)?, secret)
}

fn commenter_stays_private(scene: &Scene<'_>) -> Outcome {
    let commenter = scene.person(3);
    let page = commenter.page("/story-3/")?.text();
    let number = page
        .split("comment_post_ID' value='")
        .nth(1)
        .or_else(|| page.split("name=\"comment_post_ID\" value=\"").nth(1));
    let number: String =
        number.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
    if number.is_empty() {
        return Err("story 3 has no comment form".to_owned());
    }
    let form = format!(
        "author=Carla+Commenter&email=carla%40example.test&url=&comment=Carlas-words-{}\
         &comment_post_ID={number}&comment_parent=0&wp-comment-cookies-consent=yes",
        scene.side
    );
    commenter.fetch("/wp-comments-post.php", &["-d", &form])?.expect(302)?;
    for _ in 0..2 {
        let own = commenter.page("/story-3/")?;
        contains(&own, "carla@example.test").map_err(|error| format!("for Carla: {error}"))?;
        let other = scene.stranger(9).page("/story-3/")?;
        for mark in ["Carla", "carla", "Carlas-words"] {
            lacks(&other, mark)?;
        }
    }
    let unseen = format!("/story-3/?first-seen-by-carla-{}", scene.side);
    contains(&commenter.page(&unseen)?, "carla@example.test")?;
    lacks(&scene.stranger(9).page(&unseen)?, "carla@example.test")
}

fn no_cookies_for_strangers(scene: &Scene<'_>) -> Outcome {
    for path in ["/", "/story-1/", "/story-3/", "/members/", "/feed/"] {
        let answer = scene.stranger(12).page(path)?;
        if let Some(cookie) = answer.field("set-cookie") {
            let name = cookie.split('=').next().unwrap_or_default();
            return Err(format!("{path} hands out `{name}`"));
        }
    }
    Ok(())
}

fn contains(answer: &Answer, text: &str) -> Outcome {
    if answer.text().contains(text) { Ok(()) } else { Err(format!("`{text}` is not there")) }
}

fn lacks(answer: &Answer, text: &str) -> Outcome {
    if answer.text().contains(text) { Err(format!("`{text}` is there")) } else { Ok(()) }
}
