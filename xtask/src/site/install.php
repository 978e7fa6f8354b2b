<?php
/**
 * Makes the scratch site: tables, users, posts, comments. Run once by `cargo xtask real-site`.
 *
 * usage: php install.php WWW POSTS
 */

$_SERVER['HTTP_HOST'] = 'example.test';
$_SERVER['SERVER_NAME'] = 'example.test';
$_SERVER['REQUEST_URI'] = '/';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REMOTE_ADDR'] = '127.0.0.1';
define('WP_INSTALLING', true);

// No mail leaves this machine.
function wp_mail() { return true; }
function wp_new_blog_notification() {}

require $argv[1] . '/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';

wp_install('Harbour News', 'admin', 'admin@example.test', true, '', 'admin-password-1');
update_option('siteurl', 'http://example.test');
update_option('home', 'http://example.test');
update_option('permalink_structure', '/%postname%/');
update_option('comment_moderation', '1');
update_option('comments_notify', '0');
update_option('moderation_notify', '0');
update_option('show_comments_cookies_opt_in', '1');
// Avatars would be loaded from a third party, from a host chosen at random for each page.
update_option('show_avatars', '0');
update_option('posts_per_page', 10);
switch_theme('twentytwentyone');

$editor = wp_insert_user([
    'user_login' => 'erika', 'user_pass' => 'editor-password-1', 'role' => 'editor',
    'user_email' => 'erika@example.test', 'display_name' => 'Erika Editor',
]);
if (is_wp_error($editor)) {
    fwrite(STDERR, $editor->get_error_message() . "\n");
    exit(1);
}

$words = ['harbour', 'council', 'bridge', 'river', 'market', 'school', 'storm', 'library', 'train',
    'election', 'budget', 'hospital', 'festival', 'lighthouse', 'ferry', 'garden'];
mt_srand(7);
for ($index = 1; $index <= (int) $argv[2]; $index++) {
    $paragraphs = [];
    for ($paragraph = 0; $paragraph < 8; $paragraph++) {
        $sentence = [];
        for ($word = 0; $word < 70; $word++) {
            $sentence[] = $words[mt_rand(0, count($words) - 1)];
        }
        $paragraphs[] = '<p>' . ucfirst(implode(' ', $sentence)) . '.</p>';
    }
    $post = wp_insert_post([
        'post_title' => "Story $index", 'post_name' => "story-$index", 'post_status' => 'publish',
        'post_author' => $editor, 'post_content' => implode("\n", $paragraphs),
        'post_date' => sprintf('2025-01-%02d 08:00:00', 1 + $index % 28),
    ]);
    for ($comment = 0; $comment < 3; $comment++) {
        wp_insert_comment([
            'comment_post_ID' => $post, 'comment_author' => "Reader $comment",
            'comment_content' => "Comment $comment on story $index", 'comment_approved' => 1,
        ]);
    }
}
wp_insert_post([
    'post_title' => 'Members', 'post_name' => 'members', 'post_status' => 'publish',
    'post_author' => $editor, 'post_password' => 'members-password-1',
    'post_content' => 'the-protected-sentence', 'post_date' => '2025-01-01 08:00:00',
]);
flush_rewrite_rules(false);
echo "installed\n";
