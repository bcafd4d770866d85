package org.metaflowmaps.cli.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.steering.evaluation.FrontierCell;
import org.metaflowmaps.steering.evaluation.FrontierMethod;
import org.metaflowmaps.steering.evaluation.FrontierResult;
import org.metaflowmaps.steering.evaluation.FrontierResult.Estimate;

/** Sentences and chart of results with known order. */
final class FrontierReportTest {
    private static FrontierResult result(
            FrontierMethod method, int setting, long evaluations, double reward, double judge, double distance) {
        return new FrontierResult(
                new FrontierCell(method, setting),
                evaluations,
                new FrontierResult.Time(evaluations * 1e-3, evaluations * 2e-3),
                new Estimate(reward, 0.1, 64),
                new Estimate(judge, 0.1, 64),
                new Estimate(1, 0, 64),
                new Estimate(distance, 0.05, 64),
                distance,
                new Estimate(0.3, 0.01, 64),
                Collections.nCopies(10, 0.1));
    }

    private static List<FrontierResult> results() {
        return new ArrayList<>(List.of(
                result(FrontierMethod.BASE, 1, 10, -3, -3, 0.5),
                result(FrontierMethod.MFM_G, 1, 50, -1.5, -1.7, 0.3),
                result(FrontierMethod.SEARCH, 2, 200, -0.5, -2.5, 0.7),
                result(FrontierMethod.BEST_OF, 1, 11, -3, -3, 0.5),
                result(FrontierMethod.BEST_OF, 8, 88, -1.6, -1.6, 0.2),
                result(FrontierMethod.BEST_OF, 1000, 11000, -1, -1, 0.6)));
    }

    private static void assertSaid(List<String> sentences, String expected) {
        assertTrue(sentences.contains(expected), () -> expected + " is not one of\n" + String.join("\n", sentences));
    }

    @Test
    void sentencesFollowFromTheResults() {
        List<String> said = new FrontierConclusions(results()).sentences();
        assertSaid(
                said,
                "Mean reward: mfm-g, N = 1 has -1.500 ± 0.100 for 50 evaluations, the best of 1,000 has -1.000 ± 0.100"
                        + " for 11,000; the difference is -0.500 ± 0.141, so the best is better.");
        assertSaid(
                said,
                "Mean reward: the most of mfm-g is -1.500 ± 0.100 (N = 1, 50 evaluations); best-of-N reaches it from N"
                        + " = 1,000 on, with 11,000 evaluations.");
        assertSaid(
                said,
                "Mean judge's score: the most of mfm-g is -1.700 ± 0.100 (N = 1, 50 evaluations); best-of-N reaches it"
                        + " from N = 8 on, with 88 evaluations.");
        assertSaid(
                said,
                "Mean reward: the most of search is -0.500 ± 0.100 (M = 2, 200 evaluations); no best-of-N reaches it,"
                        + " up to N = 1000.");
        assertSaid(
                said,
                "Histogram distance, chance removed: the least is 0.200 (measured 0.200 ± 0.050) of best-of, N = 8, 88"
                        + " evaluations; without steering it is 0.500; best-of, N = 1000 has 0.600.");
        assertSaid(
                said,
                "Within the evaluations of 5 samples without steering (50.00): most reward mfm-g, N = 1 (-1.500), most"
                    + " of the judge's score mfm-g, N = 1 (-1.700), least histogram distance mfm-g, N = 1 (0.300).");
        assertSaid(
                said,
                "The reward exceeds the judge's score most for search, M = 2, by 2.000; without steering by 0.000.");
        assertTrue(said.stream().anyMatch(sentence -> sentence.startsWith("Within the processor seconds of 20")));
    }

    @Test
    void equalBestOfIsTheSmallestMeasuredN() {
        FrontierConclusions conclusions = new FrontierConclusions(results());
        assertEquals(List.of("1000", "8"), conclusions.equalBestOf(results().get(1)));
        assertEquals(List.of("> 1000", "8"), conclusions.equalBestOf(results().get(2)));
        assertEquals(List.of("–", "–"), conclusions.equalBestOf(results().get(4)));
    }

    @Test
    void aSingleMethodHasFewerSentences() {
        assertEquals(
                1, new FrontierConclusions(results().subList(1, 2)).sentences().size());
    }

    @Test
    void theChartShowsEveryMethod() {
        Assumptions.assumeTrue(Text.available());
        BufferedImage image = new FrontierChart(results()).draw();
        assertTrue(image.getWidth() > image.getHeight());
        int[] pixels = image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
        for (int colour : new int[] {0, 2, 5}) {
            int wanted = ChartStyle.compact(ChartStyle.colour(colour).getRGB());
            assertTrue(Arrays.stream(pixels).anyMatch(pixel -> pixel == wanted), "colour " + colour);
        }
    }
}
