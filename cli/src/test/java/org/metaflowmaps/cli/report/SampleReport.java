package org.metaflowmaps.cli.report;

import java.awt.image.BufferedImage;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.LongStream;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.LabelledImages;

/** A report with every kind of part, made of invented numbers. */
final class SampleReport {
    private SampleReport() {}

    static HtmlReport report() {
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("Model", "DiT-S/2, 33.1 million parameters");
        facts.put("Data", "Fashion-MNIST, 60,000 images");
        facts.put("Steps", "50,000");
        facts.put("Device", "CPU <b>not bold</b>");
        HtmlReport report = new HtmlReport("Meta flow map & friends")
                .facts(facts)
                .section("Loss")
                .paragraph("Faint: each logged step. Strong: a moving average.");
        if (Text.available()) {
            report.image("Losses falling over 50,000 steps", chart());
        }
        return report.section("Samples")
                .paragraph("One column per class.")
                .image("Clothes in a grid of three rows", grid())
                .section("Numbers")
                .table(
                        List.of("Sampler", "Steps", "Reward", "Time per image"),
                        List.of(
                                List.of("one step", "1", "0.412 ± 0.010", "1.2 ms"),
                                List.of("refined <script>alert(1)</script>", "4", "0.538 ± 0.009", "4.9 ms"),
                                List.of("chained", "16", "0.561 ± 0.011", "19.0 ms")))
                .section("Configuration")
                .pre("model:\n  width: 384\n  # \"quoted\" & <angled>\nseed: 1\n");
    }

    static BufferedImage chart() {
        Random random = new Random(5);
        long[] steps = LongStream.rangeClosed(1, 500).map(i -> i * 100).toArray();
        LossChart chart = new LossChart("");
        for (String name : List.of("total", "diagonal", "consistency")) {
            double scale = 0.4 + random.nextDouble();
            double[] values = LongStream.of(steps)
                    .mapToDouble(s -> scale * (0.05 + Math.exp(-s / 6000.0)) * Math.exp(0.15 * random.nextGaussian()))
                    .toArray();
            chart.curve(name, steps, values);
        }
        return chart.draw(832, 360);
    }

    static BufferedImage grid() {
        LabelledImages images = FashionMnist.test();
        int size = images.imageSize();
        ImageGrid grid = new ImageGrid(1, images.height(), images.width(), FashionMnist.CLASSES);
        int[] next = new int[10];
        for (String label : List.of("one step", "refined, 4 steps", "")) {
            float[] row = new float[10 * size];
            for (int column = 0; column < 10; column++) {
                while (images.label(next[column]) != column) {
                    next[column]++;
                }
                images.normalised(next[column]++, row, column * size);
            }
            grid.row(label, row);
        }
        return grid.draw(2);
    }
}
