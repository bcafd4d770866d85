package org.metaflowmaps.training.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.RecordComponent;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.training.data.DataConfig;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;
import tools.jackson.dataformat.yaml.YAMLMapper;

/** Builders have the defaults of defaults.yaml, and every setter sets its setting. */
final class BuildersTest {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final YAMLMapper YAML = YAMLMapper.builder().build();

    /** A value other than the default for every setting; all of them fit together. */
    private static final String OTHER = """
        seed: 1
        steps: 2
        batch: 3
        accumulate: 4
        slices: 3
        graphs: true
        recompute: true
        label_drop: 0.2
        guidance: 2.5
        guidance_from: 0.3
        init: init
        log_every: 5
        checkpoint_every: 6
        checkpoint_keep: 7
        checkpoint_keep_every: 8
        evaluate_every: 9
        precision: bfloat16
        data: {kind: images, folder: folder, hold_out: 1, flip: true, on_error: skip, skip_at_most: 0.2, means: [[1, 2]],
          variance: 0.3, size: 4, crop: torchvision, vae: vae, channels: 3, classes: 5, scale: 0.6, workers: 7}
        model:
          transformer: {input_size: 8, patch_size: 2, in_channels: 3, hidden_size: 24, depth: 8, num_heads: 1, label_dim: 5,
            encoder_depth: 7, model_guidance_class_ws: [2.5], model_guidance_x_cond_ws: [3], mlp_ratio: 2, is_zero_data: true,
            learn_sigma: true, qk_norm: true, preserve_t_cond_0: true, use_joint_attention: true, layout: meta-flow-map}
        teacher: {kind: network, file: file, is_zero_data: true, guidance: sit, built_in: 0.5}
        loss: {velocity: teacher, diagonal: {kind: lv, p: 0.2, c: 0.3}, consistency: alpha-flow,
          consistency_weighting: {kind: learned, p: 0.4, c: 0.5}, consistency_share: 0.6, consistency_factor: 0.7,
          diagonal_only: 8, through: average, averaged: true, clip_target: 9, alpha_from: 10, alpha_to: 11}
        times: {context_power: 3, context_atom: 0.2, context_warm_up: 4,
          diagonal: {kind: logit-normal, mean: 5, second_mean: 6, std: 7, levels: 8},
          pair: {kind: logit-normal, mean: 9, second_mean: 10, std: 11, levels: 12}, interval_warm_up: 13}
        optimizer: {kind: adamw, learning_rate: 0.1, warm_up: 2, decay: 3, beta1: 0.4, beta2: 0.5, eps: 0.6, weight_decay: 0.7,
          clip: 8, skip_above: 9, max_skipped: 11}
        average: {decay: 0.1, start: 2}
        """;

    private static String defaultsFile() throws IOException {
        try (InputStream in = Objects.requireNonNull(Configs.class.getResourceAsStream("defaults.yaml"))) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    /**
     * Every builder by its section in the file, as it is without any setting but those that the file leaves to the
     * data.
     */
    private static Map<String, Record> untouched() {
        Map<String, Record> records = new LinkedHashMap<>();
        records.put("", TrainConfig.builder().build());
        records.put("/data", DataConfig.builder().build());
        records.put(
                "/model/transformer",
                TransformerConfig.builder().inputSize(28).inChannels(1).build());
        records.put("/teacher", TeacherConfig.builder().build());
        records.put("/loss", LossConfig.builder().build());
        records.put("/loss/diagonal", WeightingConfig.builder().build());
        records.put("/loss/consistency_weighting", WeightingConfig.builder().build());
        records.put("/times", TimesConfig.builder().build());
        records.put("/times/diagonal", TimesConfig.Law.builder().build());
        records.put("/times/pair", TimesConfig.Law.builder().build());
        records.put("/optimizer", OptimizerConfig.builder().build());
        return records;
    }

    /** Compares numbers by value; null in the file means any value. */
    private static void assertDefaults(String path, JsonNode file, JsonNode builder) {
        if (file instanceof ObjectNode section) {
            assertEquals(
                    section.properties().stream()
                            .map(Map.Entry::getKey)
                            .sorted()
                            .toList(),
                    builder.properties().stream()
                            .map(Map.Entry::getKey)
                            .sorted()
                            .toList(),
                    path);
            section.properties()
                    .forEach(entry -> assertDefaults(
                            path + "/" + entry.getKey(), entry.getValue(), builder.path(entry.getKey())));
        } else if (file.isNumber()) {
            assertEquals(file.asDouble(), builder.asDouble(), path);
        } else if (!file.isNull()) {
            assertEquals(file, builder, path);
        }
    }

    @Test
    void defaultsAreThoseOfTheFile() throws IOException {
        JsonNode file = YAML.readTree(defaultsFile());
        untouched().forEach((path, record) -> assertDefaults(path, file.at(path), JSON.valueToTree(record)));
    }

    /**
     * With what the file leaves open filled in: nothing is null that the reader fills in, and nothing filled in that it
     * leaves null.
     */
    @Test
    void theWholeDefaultIsTheResolvedFile() throws IOException {
        TrainConfig resolved = Configs.resolve("", "", List.of()).config();
        assertEquals(
                JSON.writeValueAsString(resolved),
                JSON.writeValueAsString(TrainConfig.builder().build()));
    }

    /** The file has no MLP, but a comment gives its defaults. */
    @Test
    void theDefaultMlpIsThatOfTheComment() throws IOException {
        String comment = defaultsFile()
                .lines()
                .filter(line -> line.strip().startsWith("mlp: null"))
                .findFirst()
                .orElseThrow();
        JsonNode file = YAML.readTree(comment.substring(comment.indexOf('{'), comment.indexOf('}') + 1));
        assertDefaults(
                "mlp", file, JSON.valueToTree(MlpConfig.builder().dimension(2).build()));
    }

    @ParameterizedTest
    @EnumSource
    void heldOutItemsFollowFromTheKindOfData(DataConfig.Kind kind) throws IOException {
        String name = JSON.valueToTree(kind).asString();
        TrainConfig read = Configs.resolve(
                        "",
                        "data: {folder: folder, means: [[1, 2]], kind: " + name
                                + "}\nmodel: {transformer: {input_size: 4, in_channels: 1, label_dim: 2}}",
                        List.of())
                .config();
        DataConfig made = DataConfig.builder().kind(kind).folder("folder").build();
        assertEquals(read.data().holdOut(), made.holdOut());
        assertEquals(
                7,
                DataConfig.builder()
                        .kind(kind)
                        .folder("folder")
                        .holdOut(7)
                        .build()
                        .holdOut());
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "2, 1", "3, 2", "4, 3", "12, 8"})
    void theFirstStageHasTwoThirdsOfTheBlocks(int depth, int stage) {
        assertEquals(
                stage,
                TransformerConfig.builder()
                        .inputSize(4)
                        .inChannels(1)
                        .depth(depth)
                        .build()
                        .encoderDepth());
    }

    @Test
    void missingSizesAreNamed() {
        Refusal.assertRefused(() -> TransformerConfig.builder().build(), "input_size 0");
        Refusal.assertRefused(() -> TransformerConfig.builder().inputSize(28).build(), "in_channels is 0");
        Refusal.assertRefused(() -> MlpConfig.builder().build(), "dimension is 0");
    }

    @Test
    void buildingChecksAsReadingDoes() {
        Refusal.assertRefused(() -> TrainConfig.builder().steps(0).build(), "steps is 0, expected at least 1");
        Refusal.assertRefused(() -> OptimizerConfig.builder().weightDecay(0.1).build(), "but optimizer.kind is radam");
        Refusal.assertRefused(
                () -> DataConfig.builder().kind(DataConfig.Kind.IMAGES).build(), "data.folder is null");
    }

    private static List<Record> everyRecordWithABuilder() {
        List<Record> records = new ArrayList<>(untouched().values());
        records.add(MlpConfig.builder().dimension(2).build());
        return records;
    }

    @ParameterizedTest
    @MethodSource("everyRecordWithABuilder")
    void everySettingReachesItsPlace(Record base) throws IOException {
        Record other = Objects.requireNonNull(others().get(base.getClass()));
        Object all = toBuilder(base);
        for (RecordComponent component : base.getClass().getRecordComponents()) {
            Object value = component.getType() == Layout.class ? Layout.FLOW_MAP : value(other, component);
            assertNotEquals(JSON.valueToTree(value(base, component)), JSON.valueToTree(value), component::toString);
            try {
                Record changed = build(set(toBuilder(base), component, value));
                for (RecordComponent each : base.getClass().getRecordComponents()) {
                    assertEquals(
                            JSON.valueToTree(each.getName().equals(component.getName()) ? value : value(base, each)),
                            JSON.valueToTree(value(changed, each)),
                            () -> each + " after " + component + " was set");
                }
                assertEquals(JSON.valueToTree(changed), JSON.valueToTree(build(toBuilder(changed))));
            } catch (IllegalArgumentException e) {
                // It fits only together with another change, so only all changes together can show it. Switches fit
                // alone.
                assertNotEquals(boolean.class, component.getType(), e::toString);
            }
            set(all, component, value(other, component));
        }
        assertEquals(JSON.valueToTree(other), JSON.valueToTree(build(all)));
        assertEquals(JSON.valueToTree(other), JSON.valueToTree(build(toBuilder(other))));
    }

    /** Every record of a configuration without a default value, by its class. */
    private static Map<Class<?>, Record> others() throws IOException {
        Map<Class<?>, Record> records = new HashMap<>();
        collect(Configs.resolve("other.yaml", OTHER, List.of()).config(), records);
        records.put(MlpConfig.class, new MlpConfig(5, 6, 7, 8, Layout.FLOW_MAP));
        return records;
    }

    private static void collect(Record record, Map<Class<?>, Record> records) {
        records.put(record.getClass(), record);
        for (RecordComponent component : record.getClass().getRecordComponents()) {
            if (value(record, component) instanceof Record inner) {
                collect(inner, records);
            }
        }
    }

    private static @Nullable Object value(Record record, RecordComponent component) {
        return call(component.getAccessor(), record);
    }

    private static Object toBuilder(Record record) {
        return called(record, "toBuilder");
    }

    private static Record build(Object builder) {
        return (Record) called(builder, "build");
    }

    private static Object set(Object builder, RecordComponent component, @Nullable Object value) {
        Method setter = Arrays.stream(builder.getClass().getMethods())
                .filter(method -> method.getName().equals(component.getName()) && method.getParameterCount() == 1)
                .findFirst()
                .orElseThrow(() -> new AssertionError("no setter of " + component));
        assertSame(builder, call(setter, builder, value));
        return builder;
    }

    private static Object called(Object receiver, String method) {
        try {
            return Objects.requireNonNull(call(receiver.getClass().getMethod(method), receiver));
        } catch (NoSuchMethodException e) {
            throw new AssertionError(e);
        }
    }

    private static @Nullable Object call(Method method, Object receiver, @Nullable Object... arguments) {
        try {
            return method.invoke(receiver, arguments);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof IllegalArgumentException refused) {
                throw refused;
            }
            throw new AssertionError(e);
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }
}
