package org.metaflowmaps.cli.report;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.metaflowmaps.runtime.file.AtomicFile;

/**
 * One self-contained HTML page: styles and images are embedded, nothing is fetched and no script runs.
 *
 * <p>Parts appear in the order they are added. All text is escaped, never interpreted as HTML.
 */
final class HtmlReport {
    /** Matches a quantity: text that begins with a number, or a placeholder for one. */
    private static final Pattern QUANTITY = Pattern.compile("[<>≈±≤≥~]? ?[-+−]?\\d.*|[-+−]?(NaN|Infinity|∞)|[–—-]|");

    private static final String HEAD = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        """;

    private static final String STYLE = """
        :root { color-scheme: light dark;
          --text: #1c1c21; --soft: #63636e; --line: #e2e2e7; --page: #fff; --block: #f6f6f8; }
        @media (prefers-color-scheme: dark) {
          :root { --text: #e6e6ea; --soft: #a0a0ab; --line: #35353d; --page: #17171b; --block: #212127; }
        }
        body { margin: 0 auto; max-width: 52rem; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--text);
          font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; overflow-wrap: anywhere;
          -webkit-text-size-adjust: 100%; }
        h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1.25rem; font-weight: 650; letter-spacing: -0.01em; }
        h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.75rem 0 .75rem; padding-top: 1rem; font-weight: 600;
          border-top: 1px solid var(--line); }
        p { margin: .75rem 0; }
        .scroll { overflow-x: auto; margin: 1rem 0; overflow-wrap: normal; }
        table { border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
        th, td { padding: .375rem 1.25rem .375rem 0; text-align: left; vertical-align: top;
          border-bottom: 1px solid var(--line); }
        th:last-child, td:last-child { padding-right: 0; }
        th { font-weight: 600; white-space: nowrap; }
        thead th { color: var(--soft); font-size: .8125rem; vertical-align: bottom; }
        .facts th { color: var(--soft); font-weight: 400; }
        .n { text-align: right; white-space: nowrap; }
        img { display: block; max-width: 100%; height: auto; border-radius: 6px; background: #fff; }
        @media (prefers-color-scheme: dark) { img { filter: brightness(.9); } }
        pre { margin: 1rem 0; padding: .875rem 1rem; overflow-x: auto; overflow-wrap: normal; background: var(--block);
          border-radius: 6px; font: .8125rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
        """;

    private final String title;
    private final StringBuilder body = new StringBuilder();

    /** Begins a report. */
    HtmlReport(String title) {
        this.title = title;
        body.append("<h1>").append(escape(title)).append("</h1>\n");
    }

    /** Begins a section. */
    HtmlReport section(String heading) {
        body.append("<h2>").append(escape(heading)).append("</h2>\n");
        return this;
    }

    /** Adds a paragraph of text. */
    HtmlReport paragraph(String text) {
        body.append("<p>").append(escape(text)).append("</p>\n");
        return this;
    }

    /** Adds a table of facts, pairs of a name and a value, in the map's order. */
    HtmlReport facts(Map<String, String> facts) {
        body.append("<div class=\"scroll\"><table class=\"facts\"><tbody>\n");
        facts.forEach((name, value) -> body.append("<tr><th scope=\"row\">")
                .append(escape(name))
                .append("</th><td>")
                .append(escape(value))
                .append("</td></tr>\n"));
        body.append("</tbody></table></div>\n");
        return this;
    }

    /**
     * Adds a table; columns of numbers are right-aligned.
     *
     * @param header a heading for each column
     * @param rows as many cells in each as there are headings
     */
    HtmlReport table(List<String> header, List<List<String>> rows) {
        for (List<String> row : rows) {
            if (row.size() != header.size()) {
                throw new IllegalArgumentException(
                        "a row of %d cells under %d headings, expected a cell for each: %s under %s"
                                .formatted(row.size(), header.size(), row, header));
            }
        }
        boolean[] numbers = new boolean[header.size()];
        for (int i = 0; i < numbers.length; i++) {
            int column = i;
            numbers[i] = !rows.isEmpty()
                    && rows.stream()
                            .allMatch(row -> QUANTITY.matcher(row.get(column)).matches());
        }
        body.append("<div class=\"scroll\"><table><thead>\n");
        row("th scope=\"col\"", "th", header, numbers);
        body.append("</thead><tbody>\n");
        rows.forEach(row -> row("td", "td", row, numbers));
        body.append("</tbody></table></div>\n");
        return this;
    }

    /**
     * Adds an image.
     *
     * @param description a text alternative; not empty
     * @param image shown at its size, or at the page's width if it is wider
     */
    HtmlReport image(String description, BufferedImage image) {
        if (description.isBlank()) {
            throw new IllegalArgumentException("an image needs a description as text alternative, got an empty one");
        }
        // Let a wide image scroll on a narrow screen; otherwise its labels would become unreadable.
        int width = image.getWidth();
        body.append("<div class=\"scroll\"><img style=\"min-width:min(36rem, ")
                .append(width)
                .append("px)\" width=\"")
                .append(width)
                .append("\" height=\"")
                .append(image.getHeight())
                .append("\" alt=\"")
                .append(escape(description))
                .append("\" src=\"data:image/png;base64,")
                .append(Base64.getEncoder().encodeToString(Png.encode(image)))
                .append("\"></div>\n");
        return this;
    }

    /** Adds preformatted text, such as a configuration. */
    HtmlReport pre(String text) {
        // Add a line break after the tag, because HTML drops the first one.
        body.append("<pre>\n").append(escape(text)).append("</pre>\n");
        return this;
    }

    /** Returns the whole page. */
    String html() {
        return HEAD + "<title>" + escape(title) + "</title>\n<style>\n" + STYLE + "</style>\n</head>\n<body>\n<main>\n"
                + body + "</main>\n</body>\n</html>\n";
    }

    /**
     * Writes the page atomically.
     *
     * @throws IOException if the file cannot be written
     */
    void write(Path file) throws IOException {
        byte[] page = html().getBytes(StandardCharsets.UTF_8);
        AtomicFile.write(
                file, page.length, channel -> Channels.newOutputStream(channel).write(page));
    }

    private void row(String open, String close, List<String> cells, boolean[] numbers) {
        body.append("<tr>");
        for (int i = 0; i < cells.size(); i++) {
            body.append('<')
                    .append(open)
                    .append(numbers[i] ? " class=\"n\">" : ">")
                    .append(escape(cells.get(i)))
                    .append("</")
                    .append(close)
                    .append('>');
        }
        body.append("</tr>\n");
    }

    /** Escapes text for HTML, also inside a quoted attribute. */
    static String escape(String text) {
        StringBuilder escaped = new StringBuilder(text.length() + 16);
        text.codePoints().forEach(c -> {
            switch (c) {
                case '&' -> escaped.append("&amp;");
                case '<' -> escaped.append("&lt;");
                case '>' -> escaped.append("&gt;");
                case '"' -> escaped.append("&quot;");
                case '\'' -> escaped.append("&#39;");
                // A browser treats a carriage return as a line break; the other characters are not allowed in HTML.
                case '\r' -> escaped.append("&#13;");
                case '\n', '\t' -> escaped.appendCodePoint(c);
                default ->
                    escaped.appendCodePoint(
                            Character.isISOControl(c) || Character.getType(c) == Character.SURROGATE ? 0xfffd : c);
            }
        });
        return escaped.toString();
    }
}
