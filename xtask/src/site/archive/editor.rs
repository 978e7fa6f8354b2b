//! Somebody who works on the site while it is copied, and whose work must not be in the copy.

use serde_json::{Value, json};

use crate::Outcome;
use crate::site::client::Visitor;

use super::secrets::Secrets;

/// The editor.
pub(super) struct Editor {
    pub(super) visitor: Visitor,
    /// Stands, with a word behind it, in everything that the editor writes.
    token: String,
    rounds: u32,
}

impl Editor {
    /// Signs in.
    ///
    /// # Errors
    /// When the site does not let the editor in.
    pub(super) fn enter(visitor: Visitor, token: &str, secrets: &mut Secrets) -> Outcome<Self> {
        visitor.log_in()?;
        for word in ["protected", "private"] {
            secrets.add(&format!("{token}-{word}"));
        }
        // Only who is signed in is greeted.
        secrets.add("Howdy, ");
        let editor = Self { visitor, token: token.to_owned(), rounds: 0 };
        editor.confess(secrets);
        Ok(editor)
    }

    /// Reads, drafts, previews and saves; what others must not see of it goes to `secrets`.
    ///
    /// # Errors
    /// When the site does not do what the editor wants.
    pub(super) fn work(&mut self, secrets: &mut Secrets) -> Outcome {
        self.rounds += 1;
        let words = format!("{}-draft-{}", self.token, self.rounds);
        secrets.add(&words);
        let draft = json!({ "title": words, "content": words, "status": "draft" });
        let created = self.save("/wp-json/wp/v2/posts", &draft)?;
        let id = created["id"].as_u64().ok_or("the draft has no number")?;
        self.sees(&format!("/?p={id}&preview=true"), &words, secrets)?;
        let changed = format!("{words}-changed");
        let saved = json!({ "content": changed });
        self.save(&format!("/wp-json/wp/v2/posts/{id}"), &saved)?;
        self.sees(&format!("/?p={id}&preview=true"), &changed, secrets)?;
        let private = format!("{}-private", self.token);
        self.sees("/private-notes/", &private, secrets)?;
        let story = self.rounds * 31 % 500 + 1;
        self.sees(&format!("/story-{story}/"), "wpadminbar", secrets)?;
        self.sees("/", "wpadminbar", secrets)?;
        let edit = format!("/wp-admin/post.php?post={id}&action=edit");
        self.sees(&edit, &words, secrets)?;
        secrets.add(&self.visitor.nonce()?);
        self.confess(secrets);
        Ok(())
    }

    fn save(&self, path: &str, post: &Value) -> Outcome<Value> {
        let arguments = ["-H", "Content-Type: application/json", "-d", &post.to_string()];
        self.visitor.call(path, &arguments)
    }

    /// Reads a page, on which something must stand that others do not see.
    fn sees(&self, path: &str, text: &str, secrets: &mut Secrets) -> Outcome {
        let page = self.visitor.fetch(path, &["-L"])?.expect(200)?.text();
        nonces(&page).for_each(|nonce| secrets.add(&nonce));
        if page.contains(text) {
            Ok(())
        } else {
            Err(format!("the editor does not see `{text}` on {path}"))
        }
    }

    /// The cookies, as they are sent and as they are meant.
    fn confess(&self, secrets: &mut Secrets) {
        for (name, value) in self.visitor.cookies() {
            // Whether the browser takes cookies at all, and when the dashboard was last arranged.
            if name == "wordpress_test_cookie" || name.starts_with("wp-settings-") {
                continue;
            }
            secrets.add(&value);
            secrets.add(&value.replace("%7C", "|"));
        }
    }
}

/// What stands behind `_wpnonce` and `nonce` on a page.
fn nonces(page: &str) -> impl Iterator<Item = String> {
    let behind = page.split("nonce").skip(1).map(|rest| {
        let rest = rest.trim_start_matches(['"', '\'', ' ', ':', '=']);
        rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>()
    });
    // WordPress makes them of ten digits.
    behind.filter(|nonce| nonce.len() == 10)
}

#[cfg(test)]
mod tests {
    use super::nonces;

    #[test]
    fn nonces_are_found_in_links_and_in_scripts() {
        let page = "<a href='x?_wpnonce=0123456789&a'>{\"nonce\":\"abcdef0123\"} nonce=\"12\"";
        assert_eq!(nonces(page).collect::<Vec<_>>(), ["0123456789", "abcdef0123"]);
    }
}
