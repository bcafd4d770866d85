package org.metaflowmaps.cli.report;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HtmlReportTest {
    private static final String HOSTILE = "<script>x</script>\"'&amp;]]>--><img src=http://x onerror=y>";

    @Test
    void aReportFetchesNothingAndRunsNothing() {
        String html = SampleReport.report().html();
        Pattern reaching =
                Pattern.compile("<(script|link|iframe|object|base|form)\\b|https?:|href=|url\\(|@import| on\\w+=");
        assertFalse(reaching.matcher(html).find());
        Matcher sources = Pattern.compile("src=\"([^\"]{0,22})").matcher(html);
        while (sources.find()) {
            assertEquals("data:image/png;base64,", sources.group(1));
        }
        assertTrue(html.contains("content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\""));
        assertTrue(html.contains("name=\"viewport\"") && html.contains("prefers-color-scheme: dark"));
    }

    @Test
    void textIsNeverTakenAsHtmlWhereverItComesFrom() {
        String html = new HtmlReport(HOSTILE)
                .section(HOSTILE)
                .paragraph(HOSTILE)
                .pre(HOSTILE)
                .facts(Map.of(HOSTILE, HOSTILE))
                .table(List.of(HOSTILE), List.of(List.of(HOSTILE)))
                .image(HOSTILE, new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB))
                .html();
        assertFalse(html.contains("<script"));
        assertFalse(html.contains("<img src"));
        // Title twice, section, paragraph, pre, fact twice, heading, cell, image.
        assertEquals(
                10, html.split(Pattern.quote("&lt;script&gt;x&lt;/script&gt;&quot;&#39;&amp;amp;"), -1).length - 1);
    }

    @Test
    void elementsAreBalanced() {
        String html = SampleReport.report().html();
        for (String element : List.of(
                "html", "head", "body", "main", "h1", "h2", "p", "div", "table", "thead", "tbody", "tr", "th", "td",
                "pre", "style", "title")) {
            int open = html.split("<" + element + "[ >]", -1).length;
            assertEquals(open, html.split("</" + element + ">", -1).length, element);
            assertTrue(open > 1, element);
        }
    }

    @Test
    void escapingIsUndoneByReadingIt() {
        Random random = new Random(4);
        for (int round = 0; round < 2000; round++) {
            String text = random.ints(random.nextInt(20), 0, round % 2 == 0 ? 0x80 : 0x11000)
                    .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                    .toString();
            String escaped = HtmlReport.escape(text);
            assertTrue(escaped.chars().noneMatch(c -> "<>\"'\r".indexOf(c) >= 0), escaped);
            String shown = escaped.replace("&lt;", "<")
                    .replace("&gt;", ">")
                    .replace("&quot;", "\"")
                    .replace("&#39;", "'")
                    .replace("&#13;", "\r")
                    .replace("&amp;", "&");
            String expected = text.replaceAll("[\\p{Cc}&&[^\\n\\t\\r]]|[\\x{d800}-\\x{dfff}]", "\ufffd");
            assertEquals(expected, shown);
        }
    }

    @Test
    void columnsOfQuantitiesAreSetRight() {
        List<List<String>> rows = List.of(
                List.of("4th", "x", "-1.5e-3 ms"),
                List.of("b", "2", "NaN"),
                List.of("c", "3", "–"),
                List.of("d", "4", ""));
        String html = new HtmlReport("t")
                .table(List.of("name", "mixed", "number"), rows)
                .html();
        assertEquals(1, html.split("<th scope=\"col\" class=\"n\">number</th>", -1).length - 1);
        assertEquals(5, html.split("class=\"n\"", -1).length - 1);
        assertTrue(html.contains("<td class=\"n\">-1.5e-3 ms</td>"));
    }

    @Test
    void imagesSurviveUnchanged() throws IOException {
        BufferedImage image = new BufferedImage(13, 7, BufferedImage.TYPE_INT_RGB);
        Random random = new Random(6);
        int[] pixels = random.ints(13 * 7, 0xff000000, 0).toArray();
        image.setRGB(0, 0, 13, 7, pixels, 0, 13);
        String html = new HtmlReport("t").image("noise", image).html();
        Matcher matcher = Pattern.compile(
                        "<img [^>]*width=\"13\" height=\"7\" alt=\"noise\" src=\"data:image/png;base64,"
                                + "([^\"]+)\">")
                .matcher(html);
        assertTrue(matcher.find());
        BufferedImage read =
                ImageIO.read(new ByteArrayInputStream(Base64.getDecoder().decode(matcher.group(1))));
        assertNotNull(read);
        assertArrayEquals(pixels, read.getRGB(0, 0, 13, 7, null, 0, 13));
    }

    @Test
    void preformattedTextKeepsItsFirstEmptyLine() {
        assertTrue(new HtmlReport("t").pre("\n a\n").html().contains("<pre>\n\n a\n</pre>"));
    }

    @Test
    void badInputIsRefused() {
        HtmlReport report = new HtmlReport("t");
        assertThrows(IllegalArgumentException.class, () -> report.table(List.of("a", "b"), List.of(List.of("1"))));
        assertThrows(
                IllegalArgumentException.class,
                () -> report.image(" ", new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB)));
    }

    @Test
    void filesAreReplacedWholeAndNothingIsLeftBeside(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("run/report.html");
        new HtmlReport("first").write(file);
        new HtmlReport("zweiter ☃").write(file);
        assertEquals(new HtmlReport("zweiter ☃").html(), Files.readString(file));
        Path taken = folder.resolve("run/taken");
        Files.createDirectories(taken.resolve("inside"));
        assertThrows(IOException.class, () -> new HtmlReport("x").write(taken));
        Png.write(new BufferedImage(2, 3, BufferedImage.TYPE_BYTE_GRAY), folder.resolve("run/a.png"));
        assertEquals(3, ImageIO.read(folder.resolve("run/a.png").toFile()).getHeight());
        try (var files = Files.list(folder.resolve("run"))) {
            assertEquals(
                    List.of("a.png", "report.html", "taken"),
                    files.map(f -> f.getFileName().toString()).sorted().toList());
        }
    }
}
