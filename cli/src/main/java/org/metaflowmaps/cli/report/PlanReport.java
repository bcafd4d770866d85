package org.metaflowmaps.cli.report;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.plan.Flops;
import org.metaflowmaps.training.plan.Launches;
import org.metaflowmaps.training.plan.StepMemory;
import org.metaflowmaps.training.plan.StepPlan;
import tools.jackson.databind.SerializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * The plan of a training step, as lines of text and as JSON.
 *
 * @param name of the configuration
 * @param config its settings
 * @param device where the run would be
 * @param plan the plan
 * @param memory the device's memory in bytes
 * @param rate of products in TFLOP/s; 0 if it is not given
 * @param draws of steered sampling; 0 if they are not given
 */
public record PlanReport(
        String name, TrainConfig config, Device.Type device, StepPlan plan, double memory, double rate, int draws) {
    private static final double GIB = 0x1p30;
    private static final double TERA = 1e12;
    private static final JsonMapper JSON =
            JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();

    /** Returns the lines. */
    public String text() {
        StringBuilder text = new StringBuilder();
        boolean gpu = device == Device.Type.CUDA;
        text.append(String.format(
                Locale.ROOT,
                "%s on %s, %s, recompute %s: computed, nothing was run%n",
                name,
                gpu ? "cuda" : "cpu",
                config.precision().name().toLowerCase(Locale.ROOT),
                config.recompute()));
        line(
                text,
                "parameters",
                "%,d%s",
                plan.parameters(),
                plan.teacher() == 0 ? "" : String.format(Locale.ROOT, ", teacher %,d", plan.teacher()));
        Flops item = plan.perItem();
        line(
                text,
                "per item",
                "%s GFLOP: forward %s, tangent %s, backward %s",
                giga(item.total()),
                giga(item.forward()),
                giga(item.tangent()),
                giga(item.backward()));
        line(text, "per step", "%s TFLOP for %,d items", tera(plan.flops().total()), plan.items());
        memory(text);
        if (gpu) {
            line(text, "launches per step", "%s", launches(plan.launches()));
        }
        line(
                text,
                "one evaluation",
                "%s GFLOP per item%s; weights %s GiB, in bfloat16 %s",
                giga(plan.evaluation()),
                gpu ? ", launches " + launches(plan.evaluationLaunches()) : "",
                gib((double) plan.weightBytes()),
                gib(plan.weightBytes() / 2.0));
        if (draws > 0) {
            line(
                    text,
                    "one steered step",
                    "%s GFLOP per item by mfm-g with %d %s, without the reward",
                    giga(plan.steeredStep(draws)),
                    draws,
                    draws == 1 ? "draw" : "draws");
        }
        if (rate > 0) {
            line(text, "least time", "%.3g s per step at %s TFLOP/s: arithmetic, not a measurement", seconds(), rate);
        }
        notes().forEach(note -> text.append("note: ").append(note).append(System.lineSeparator()));
        return text.toString();
    }

    private void memory(StringBuilder text) {
        StepMemory need = plan.memory();
        List<String> parts = new ArrayList<>();
        parts().forEach((part, bytes) -> {
            if (bytes > 0) {
                parts.add(part.replace('_', ' ') + " " + gib(bytes));
            }
        });
        line(text, "memory, fixed", "%s GiB: %s", gib(need.fixed()), String.join(", ", parts));
        line(text, "memory, per item", "%s GiB", amount(need.item()));
        line(text, "largest batch", "%,d in %s GiB", need.largestBatch(memory), gib(memory));
        Optional<StepPlan.Split> split = plan.split(memory);
        line(
                text,
                plan.items() + (plan.items() == 1 ? " item" : " items"),
                "%s",
                split.map(passes -> String.format(
                                Locale.ROOT,
                                "batch=%d accumulate=%d, %s GiB",
                                passes.batch(),
                                passes.accumulate(),
                                gib(need.needed(passes.batch()))))
                        .orElse("do not fit: one item needs " + gib(need.needed(1)) + " GiB"));
    }

    /** The parts of the fixed memory by name, in bytes. */
    private Map<String, Double> parts() {
        StepMemory need = plan.memory();
        Map<String, Double> parts = new LinkedHashMap<>();
        parts.put("weights", need.weights());
        parts.put("gradients", need.gradients());
        parts.put("moments", need.moments());
        parts.put("moving_average", need.average());
        parts.put("teacher", need.teacher());
        parts.put("bfloat16_copies", need.copies());
        parts.put("workspaces", need.workspaces());
        return parts;
    }

    private double seconds() {
        return plan.flops().total() / (rate * TERA);
    }

    private List<String> notes() {
        List<String> notes = new ArrayList<>();
        if (config.teacher().kind() == TeacherConfig.Kind.NETWORK) {
            notes.add("the teacher is assumed to have the size of the trained network; its file was not read");
        } else if (config.teacher().kind() != TeacherConfig.Kind.NONE) {
            notes.add("the teacher is not a network of mfm, and is not included");
        }
        if (config.loss().consistency() == LossConfig.ConsistencyKind.ALPHA_FLOW) {
            notes.add("of alpha-flow, the steps after loss.alpha_to");
        }
        if (config.data().vae() != null) {
            notes.add("the encoding of images by data.vae is not included");
        }
        return notes;
    }

    @SuppressWarnings("AnnotateFormatMethod") // this module does not read the annotation's module
    private static void line(StringBuilder text, String name, String format, Object... values) {
        text.append(String.format(Locale.ROOT, "%-18s ", name))
                .append(String.format(Locale.ROOT, format, values))
                .append(System.lineSeparator());
    }

    private static String launches(Launches launches) {
        return String.format(
                Locale.ROOT,
                "%,d: %,d kernels, %,d products, %,d fills",
                launches.total(),
                launches.kernels(),
                launches.products(),
                launches.fills());
    }

    private static String giga(double flops) {
        return flops == 0 ? "0" : String.format(Locale.ROOT, flops < 1e9 ? "%.2g" : "%,.1f", flops / 1e9);
    }

    private static String tera(double flops) {
        return String.format(Locale.ROOT, flops < TERA ? "%.2g" : "%,.1f", flops / TERA);
    }

    private static String gib(double bytes) {
        return String.format(Locale.ROOT, bytes < 0.01 * GIB ? "%.2g" : "%.2f", bytes / GIB);
    }

    private static String amount(double bytes) {
        return String.format(Locale.ROOT, bytes < 0.001 * GIB ? "%.2g" : "%.3f", bytes / GIB);
    }

    /** Returns all numbers as JSON. */
    public String json() {
        StepMemory need = plan.memory();
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("configuration", name);
        tree.put("device", device.name().toLowerCase(Locale.ROOT));
        tree.put("precision", config.precision().name().toLowerCase(Locale.ROOT));
        tree.put("recompute", config.recompute());
        tree.put("parameters", plan.parameters());
        tree.put("teacher_parameters", plan.teacher());
        tree.put("items_per_step", plan.items());
        tree.put(
                "flop_per_item",
                Map.of(
                        "forward", plan.perItem().forward(),
                        "tangent", plan.perItem().tangent(),
                        "backward", plan.perItem().backward()));
        tree.put("flop_per_step", plan.flops().total());
        tree.put("fixed_bytes", parts());
        tree.put("bytes_per_item", need.item());
        tree.put("memory_bytes", memory);
        tree.put("largest_batch", need.largestBatch(memory));
        plan.split(memory).ifPresent(split -> {
            tree.put("batch", split.batch());
            tree.put("accumulate", split.accumulate());
            tree.put("needed_bytes", need.needed(split.batch()));
        });
        if (device == Device.Type.CUDA) {
            tree.put("launches", tree(plan.launches()));
            tree.put("launches_of_evaluation", tree(plan.evaluationLaunches()));
        }
        tree.put("flop_of_evaluation", plan.evaluation());
        if (draws > 0) {
            tree.put("draws", draws);
            tree.put("flop_of_steered_step", plan.steeredStep(draws));
        }
        if (rate > 0) {
            tree.put("tflops", rate);
            tree.put("least_seconds_per_step", seconds());
        }
        tree.put("notes", notes());
        return JSON.writeValueAsString(tree) + "\n";
    }

    private static Map<String, Object> tree(Launches launches) {
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("kernels", launches.kernels());
        tree.put("products", launches.products());
        tree.put("fills", launches.fills());
        return tree;
    }
}
