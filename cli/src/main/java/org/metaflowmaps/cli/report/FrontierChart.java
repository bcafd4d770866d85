package org.metaflowmaps.cli.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.geom.Ellipse2D;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.markers.SeriesMarkers;
import org.metaflowmaps.steering.evaluation.FrontierMethod;
import org.metaflowmaps.steering.evaluation.FrontierResult;
import org.metaflowmaps.steering.evaluation.FrontierResult.Estimate;

/**
 * Rewards, the judge's scores and histogram distances of all methods: above over network evaluations, below over
 * seconds, both logarithmic. A line for each method, a bar of one standard error for each point.
 */
final class FrontierChart {
    private static final int PANEL_WIDTH = 310;
    private static final int PANEL_HEIGHT = 235;
    private static final int LEGEND_HEIGHT = 40;
    private static final int DOT = 8;
    private static final int GAP = 18;
    private static final Color GREY = new Color(0x495057);
    private static final float[] DASHES = {6f, 5f};

    private final List<FrontierResult> results;
    private final Map<FrontierMethod, List<FrontierResult>> curves = new EnumMap<>(FrontierMethod.class);

    /** A number with its error. */
    private record Metric(
            String title, ToDoubleFunction<FrontierResult> value, ToDoubleFunction<FrontierResult> error) {
        static Metric of(String title, Function<FrontierResult, Estimate> estimate) {
            return new Metric(
                    title,
                    result -> estimate.apply(result).value(),
                    result -> estimate.apply(result).error());
        }
    }

    private static final List<Metric> METRICS = List.of(
            Metric.of("mean reward", FrontierResult::reward),
            Metric.of("judge's mean score", FrontierResult::judge),
            new Metric(
                    "histogram distance, chance removed",
                    FrontierResult::corrected,
                    result -> result.distance().error()));

    FrontierChart(List<FrontierResult> results) {
        this.results = results;
        results.forEach(result -> curves.computeIfAbsent(result.cell().method(), method -> new ArrayList<>())
                .add(result));
        curves.values().forEach(curve -> curve.sort(Comparator.comparingLong(FrontierResult::evaluations)));
    }

    BufferedImage draw() {
        String time = FrontierReport.isTimedByProcessor(results) ? "processor seconds per image" : "seconds per image";
        BufferedImage image =
                ChartStyle.image(METRICS.size() * PANEL_WIDTH, 2 * PANEL_HEIGHT + LEGEND_HEIGHT, graphics -> {
                    graphics.setColor(Color.WHITE);
                    graphics.fillRect(0, 0, METRICS.size() * PANEL_WIDTH, 2 * PANEL_HEIGHT + LEGEND_HEIGHT);
                    for (int column = 0; column < METRICS.size(); column++) {
                        Metric metric = METRICS.get(column);
                        paint(
                                graphics,
                                column,
                                0,
                                metric,
                                "network evaluations per image",
                                FrontierResult::evaluations);
                        paint(graphics, column, 1, metric, time, FrontierReport.seconds(results));
                    }
                    legend((Graphics2D)
                            graphics.create(0, 2 * PANEL_HEIGHT, METRICS.size() * PANEL_WIDTH, LEGEND_HEIGHT));
                });
        ChartStyle.compact(image);
        return image;
    }

    private void paint(
            Graphics2D graphics,
            int column,
            int row,
            Metric metric,
            String axis,
            ToDoubleFunction<FrontierResult> cost) {
        XYChart chart = new XYChartBuilder()
                .title(metric.title)
                .width(PANEL_WIDTH)
                .height(PANEL_HEIGHT)
                .xAxisTitle(axis)
                .build();
        chart.getStyler()
                .setXAxisLogarithmic(true)
                .setXAxisTickLabelsFormattingFunction(value -> LossChart.logarithmicLabel(value, 5));
        double low = results.stream()
                .mapToDouble(result -> metric.value.applyAsDouble(result))
                .min()
                .orElse(0);
        double high = results.stream()
                .mapToDouble(result -> metric.value.applyAsDouble(result))
                .max()
                .orElse(1);
        double room = Math.max(0.1 * (high - low), 1e-3);
        chart.getStyler().setYAxisMin(low - room).setYAxisMax(high + room);
        ChartStyle.apply(chart.getStyler());
        chart.getStyler().setLegendVisible(false).setChartPadding(8).setMarkerSize(5);
        chart.getStyler().setChartTitleFont(new Font(Font.SANS_SERIF, Font.BOLD, 12));
        chart.getStyler().setErrorBarsColorSeriesColor(true);
        curves.forEach((method, curve) -> {
            XYSeries series = chart.addSeries(
                    method.toString(),
                    curve.stream().mapToDouble(cost).toArray(),
                    curve.stream().mapToDouble(metric.value).toArray(),
                    curve.stream()
                            .mapToDouble(metric.error)
                            .map(error -> Double.isFinite(error) ? error : 0)
                            .toArray());
            series.setMarker(SeriesMarkers.CIRCLE)
                    .setMarkerColor(colour(method))
                    .setLineColor(colour(method));
            series.setLineStyle(new BasicStroke(
                    1.6f, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND, 1f, isDashed(method) ? DASHES : null, 0f));
        });
        Graphics2D place =
                (Graphics2D) graphics.create(column * PANEL_WIDTH, row * PANEL_HEIGHT, PANEL_WIDTH, PANEL_HEIGHT);
        chart.paint(place, PANEL_WIDTH, PANEL_HEIGHT);
        place.dispose();
    }

    private static Color colour(FrontierMethod method) {
        return switch (method) {
            case MFM_G, MFM_G_RESCALED -> ChartStyle.colour(0);
            case MFM_GF -> ChartStyle.colour(1);
            case SEARCH, TREE -> ChartStyle.colour(2);
            case SMC -> ChartStyle.colour(3);
            case DPS -> ChartStyle.colour(4);
            case BASE -> ChartStyle.colour(5);
            case BEST_OF -> GREY;
        };
    }

    private static boolean isDashed(FrontierMethod method) {
        return method == FrontierMethod.MFM_G_RESCALED || method == FrontierMethod.TREE;
    }

    private void legend(Graphics2D graphics) {
        Text.prepare(graphics);
        graphics.setFont(Text.font(12));
        FontMetrics metrics = graphics.getFontMetrics();
        int x = GAP;
        int middle = LEGEND_HEIGHT / 2;
        for (FrontierMethod method : curves.keySet()) {
            graphics.setColor(colour(method));
            graphics.setStroke(new BasicStroke(
                    1.6f, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND, 1f, isDashed(method) ? DASHES : null, 0f));
            graphics.drawLine(x, middle, x + 3 * DOT, middle);
            graphics.fill(new Ellipse2D.Double(x + DOT, middle - DOT / 2.0, DOT, DOT));
            graphics.setColor(Text.COLOUR);
            x += 4 * DOT;
            graphics.drawString(method.toString(), x, middle + metrics.getAscent() / 2 - 1);
            x += metrics.stringWidth(method.toString()) + GAP;
        }
        graphics.dispose();
    }
}
