<?php
/**
 * Makes the scratch site: tables, users, posts with pictures, categories, tags and comments, and what
 * only some may read. Run once by `cargo xtask real-site`.
 *
 * usage: php install.php WWW POSTS SECRET
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

/** A picture of noise in a PNG file: each is another, and none can be guessed from another. */
function picture($file, $width, $height) {
    $rows = '';
    for ($row = 0; $row < $height; $row++) {
        $rows .= "\0";
        for ($column = 0; $column < $width; $column++) {
            $rows .= chr(mt_rand(0, 255) & 0xf0);
        }
    }
    $chunk = function ($type, $data) {
        return pack('N', strlen($data)) . $type . $data . pack('N', crc32($type . $data));
    };
    $head = pack('NNCCCCC', $width, $height, 8, 0, 0, 0, 0);
    $png = "\x89PNG\r\n\x1a\n" . $chunk('IHDR', $head) . $chunk('IDAT', gzcompress($rows, 1));
    file_put_contents($file, $png . $chunk('IEND', ''));
}

/** A picture in two sizes, as an upload of the editor would leave it: with a page of its own. */
function attach($index, $post, $editor) {
    $folder = wp_upload_dir(null, false)['basedir'] . '/2025/01';
    wp_mkdir_p($folder);
    picture("$folder/picture-$index.png", 320, 240);
    picture("$folder/picture-$index-160x120.png", 160, 120);
    $picture = wp_insert_attachment([
        'post_title' => "Picture $index", 'post_name' => "picture-$index", 'post_author' => $editor,
        'post_mime_type' => 'image/png', 'post_status' => 'inherit',
        'post_date' => '2025-01-01 08:00:00',
    ], "2025/01/picture-$index.png", $post);
    wp_update_attachment_metadata($picture, [
        'width' => 320, 'height' => 240, 'file' => "2025/01/picture-$index.png",
        'sizes' => ['medium' => [
            'file' => "picture-$index-160x120.png", 'width' => 160, 'height' => 120,
            'mime-type' => 'image/png',
        ]],
    ]);
    return $picture;
}

$sections = [];
foreach (['Politics', 'Harbour', 'Culture', 'Sports', 'Weather', 'Letters'] as $name) {
    $sections[] = wp_insert_term($name, 'category')['term_id'];
}
$words = ['harbour', 'council', 'bridge', 'river', 'market', 'school', 'storm', 'library', 'train',
    'election', 'budget', 'hospital', 'festival', 'lighthouse', 'ferry', 'garden'];
mt_srand(7);
wp_defer_term_counting(true);
wp_defer_comment_counting(true);
for ($index = 1; $index <= (int) $argv[2]; $index++) {
    $paragraphs = [];
    for ($paragraph = 0; $paragraph < 8; $paragraph++) {
        $sentence = [];
        for ($word = 0; $word < 70; $word++) {
            $sentence[] = $words[mt_rand(0, count($words) - 1)];
        }
        $paragraphs[] = '<p>' . ucfirst(implode(' ', $sentence)) . '.</p>';
    }
    // Some are long enough for two pages.
    $between = $index % 50 == 7 ? "\n<!--nextpage-->\n" : "\n";
    $post = wp_insert_post([
        'post_title' => "Story $index", 'post_name' => "story-$index", 'post_status' => 'publish',
        'post_author' => $editor, 'post_content' => implode($between, $paragraphs),
        // Each has a moment of its own, so that the newest are told apart.
        'post_date' => gmdate('Y-m-d H:i:s', gmmktime(8, 0, 0, 1, 1, 2024) + $index * 12 * 3600),
        'post_category' => [$sections[$index % count($sections)]],
        'tags_input' => [$words[$index % 16], $words[($index * 7 + 3) % 16]],
    ]);
    set_post_thumbnail($post, attach($index, $post, $editor));
    for ($comment = 0; $comment < 3; $comment++) {
        wp_insert_comment([
            'comment_post_ID' => $post, 'comment_author' => "Reader $comment",
            'comment_content' => "Comment $comment on story $index", 'comment_approved' => 1,
            'comment_date' => gmdate('Y-m-d H:i:s', gmmktime(9, $comment, 0, 1, 1, 2025) + $index * 60),
        ]);
    }
}
wp_defer_term_counting(false);
wp_defer_comment_counting(false);
wp_insert_post([
    'post_title' => 'Members', 'post_name' => 'members', 'post_status' => 'publish',
    'post_author' => $editor, 'post_password' => 'members-password-1',
    'post_content' => "the-protected-sentence {$argv[3]}-protected",
    'post_date' => '2024-01-01 08:00:00',
]);
wp_insert_post([
    'post_title' => "Private {$argv[3]}-private", 'post_name' => 'private-notes',
    'post_status' => 'private', 'post_author' => $editor,
    'post_content' => "{$argv[3]}-private", 'post_date' => '2024-01-01 08:00:00',
]);
flush_rewrite_rules(false);
echo "installed\n";
