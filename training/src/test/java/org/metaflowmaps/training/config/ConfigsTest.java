package org.metaflowmaps.training.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.training.data.DataConfig;

final class ConfigsTest {
    private static void assertRefused(String text, List<String> overrides, String... parts) {
        Exception refusal = assertThrows(Exception.class, () -> Configs.resolve("my.yaml", text, overrides));
        assertTrue(refusal instanceof IOException || refusal instanceof IllegalArgumentException, refusal::toString);
        String message = String.valueOf(refusal.getMessage());
        for (String part : parts) {
            assertTrue(message.contains(part), "'" + message + "' lacks '" + part + "'");
        }
        assertFalse(
                message.contains("tools.jackson") || message.contains("metaflowmaps"),
                "no names of classes: " + message);
    }

    @ParameterizedTest
    @FieldSource("org.metaflowmaps.training.config.Configs#BUILT_IN")
    void everyShippedConfigurationLoads(String name) throws IOException {
        Configs.Resolved shipped = Configs.load(name, List.of());
        TrainConfig config = shipped.config();
        assertEquals(
                config.data().kind() == DataConfig.Kind.MIXTURE, config.model().mlp() != null);
        // The file written to a run's folder is the whole configuration, with the same meaning.
        Configs.Resolved again = Configs.resolve("config.yaml", shipped.yaml(), List.of());
        assertEquals(shipped.yaml(), again.yaml());
        assertEquals(config.model(), again.config().model());
        assertEquals(config.optimizer(), again.config().optimizer());
    }

    @Test
    void overridesStandAboveTheFileAndTheFileAboveTheDefaults() throws IOException {
        String file = "steps: 7\noptimizer: {clip: 3}\n";
        TrainConfig config = Configs.resolve(
                        "my.yaml",
                        file,
                        List.of("optimizer.clip=4", "data.folder=here", "seed=-1", "precision=bfloat16"))
                .config();
        TrainConfig defaults = Configs.resolve("my.yaml", "", List.of()).config();
        assertEquals(7, config.steps());
        assertEquals(4, config.optimizer().clip());
        assertEquals(-1, config.seed());
        assertEquals("here", config.data().folder());
        assertNull(defaults.data().folder());
        assertEquals(Precision.BFLOAT16, config.precision());
        assertEquals(Precision.FLOAT32, defaults.precision());
        assertEquals(defaults.optimizer().learningRate(), config.optimizer().learningRate());
    }

    @ParameterizedTest
    @ValueSource(strings = {"/data #2/x", "it's here", "12", "null", "C:\\new: old", "- [a", " x "})
    void aPathIsTakenAsItIs(String folder) throws IOException {
        assertEquals(
                folder,
                Configs.resolve("my.yaml", "", List.of(Configs.setting("data.folder", folder)))
                        .config()
                        .data()
                        .folder());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "step: 3 | step | did you mean 'steps'",
                "optimizer: {learning_rat: 1} | optimizer.learning_rat | did you mean 'learning_rate'",
                "model: {transformer: {hiden_size: 8}} | model.transformer.hiden_size | did you mean 'hidden_size'",
                "loss: {diagonal: {knd: l2}} | loss.diagonal.knd | did you mean 'kind'"
            })
    void unknownKeysAreRefusedWithTheNearestName(String text, String path, String nearest) {
        assertRefused(text, List.of(), "my.yaml", "unknown setting '" + path + "'", nearest);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "optimizer.learning_rat=1 | unknown setting 'optimizer.learning_rat': did you mean 'learning_rate'",
                "optimiser.clip=1 | unknown setting 'optimiser.clip': did you mean 'optimizer'",
                "stepz=1 | did you mean 'steps'",
                "steps.more=1 | unknown setting 'steps.more'",
                "steps | write key=value",
                "=3 | write key=value"
            })
    void overridesOfWhatIsNotThereAreRefused(String override, String part) {
        assertRefused("", List.of(override), part);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "optimizer: {kind: adam} | 'optimizer.kind' is 'adam' | radam, adamw",
                "loss: {consistency: semi} | 'loss.consistency' is 'semi' | none, semigroup, psd, shortcut",
                "data: {kind: cifar} | 'data.kind' is 'cifar' | fashion-mnist, mixture, idx, images, latents",
                "steps: many | 'steps' is 'many' | a whole number",
                "steps: 1.5 | steps | 1.5",
                "optimizer: {learning_rate: fast} | 'optimizer.learning_rate' is 'fast' | a number",
                "model: {transformer: {qk_norm: perhaps}} | model.transformer.qk_norm | perhaps"
            })
    void valuesOfTheWrongKindAreRefused(String text, String what, String expected) {
        assertRefused(text, List.of(), what, expected);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "steps=0 | steps is 0, expected at least 1",
                "batch=-1 | batch is -1",
                "label_drop=1.5 | label_drop is 1.5, expected 0 to 1",
                "optimizer.learning_rate=0 | optimizer.learning_rate is 0.0, expected a number above 0",
                "optimizer.learning_rate=.inf | optimizer.learning_rate is Infinity",
                "optimizer.learning_rate=.nan | optimizer.learning_rate is NaN",
                "optimizer.warm_up=-1 | optimizer.warm_up is -1",
                "optimizer.eps=0 | optimizer.eps is 0.0",
                "optimizer.beta2=1 | optimizer.beta2 is 1.0",
                "average.decay=1 | average.decay is 1.0",
                "average.start=-1 | average.start is -1",
                "loss.diagonal.p=2 | p is 2.0, expected 0 to 1",
                "loss.consistency_share=0 | loss.consistency_share is 0.0",
                "loss.consistency_factor=0 | loss.consistency_factor is 0.0, expected a number above 0",
                "loss.clip_target=-1 | loss.clip_target is -1.0, expected 0 (no bound) or more",
                "loss.consistency=shortcut | loss.consistency is shortcut, but times.pair.kind is uniform, expected"
                        + " dyadic",
                "loss.consistency=alpha-flow | loss.alpha_to is 0, which makes alpha-flow mean-flow from the first"
                        + " step",
                "guidance=2 | guidance is 2.0, expected one of model.transformer.model_guidance_class_ws [2.5]",
                "times.context_atom=2 | times.context_atom is 2.0",
                "data.size=0 | data.size is 0",
                "data.channels=0 | data.channels is 0",
                "data.classes=0 | data.classes is 0",
                "data.scale=0 | data.scale is 0.0",
                "data.workers=-1 | data.workers is -1, expected 0 to 1024",
                "data.ranks=2 | data.ranks is 2, but one process trains alone",
                "data.rank=1 | data.rank is 1, but one process trains alone",
                "data.means=[[.nan, 0]] | data.means holds [NaN, 0.0], expected finite numbers",
                "data.means=[[0, -.inf]] | data.means holds [0.0, -Infinity]",
                "optimizer.weight_decay=0.1 | optimizer.weight_decay is 0.1, but optimizer.kind is radam",
                "optimizer.clip=.inf | optimizer.clip is Infinity",
                "optimizer.skip_above=.nan | optimizer.skip_above is NaN",
                "optimizer.eps=.inf | optimizer.eps is Infinity",
                "loss.clip_target=.inf | loss.clip_target is Infinity",
                "loss.diagonal.c=.inf | c is Infinity",
                "times.context_power=.inf | times.context_power is Infinity",
                "times.pair.mean=.nan | mean is NaN",
                "times.pair.second_mean=.inf | second_mean is Infinity",
                "times.diagonal.std=.inf | std is Infinity",
                "model.transformer.mlp_ratio=.inf | mlp_ratio is Infinity",
                "model.transformer.model_guidance_x_cond_ws=[.nan] | model_guidance_x_cond_ws are [NaN]",
                "data.kind=images | data.folder is null",
                "model.transformer.patch_size=5 | input_size 28 must be a multiple of patch_size 5",
                "model.transformer=null | neither is given"
            })
    void valuesOutOfRangeAreRefused(String override, String part) {
        assertRefused("guidance: 2.5\nmodel: {transformer: {model_guidance_class_ws: [2.5]}}", List.of(override), part);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "data",
                "model",
                "loss",
                "times",
                "optimizer",
                "average",
                "data.kind",
                "data.means",
                "optimizer.kind",
                "loss.diagonal",
                "loss.consistency",
                "loss.consistency_weighting",
                "loss.diagonal.kind"
            })
    void nothingMayBeNullThatIsNeeded(String key) {
        assertRefused("", List.of(key + "=null"), "null");
    }

    /** Files of earlier versions' runs, and their command lines. */
    @Test
    void olderNamesAreRead() throws IOException {
        List<String> set = List.of("model.transformer.model_guidance_x_ws=[3]", "data.rank=0", "data.ranks=1");
        String text = "data: {rank: 0, ranks: 1}\nmodel: {transformer: {model_guidance_x_ws: [3]}}";
        for (Configs.Resolved read :
                List.of(Configs.resolve("old.yaml", text, List.of()), Configs.resolve("", "", set))) {
            assertEquals(
                    List.of(3.0),
                    Objects.requireNonNull(read.config().model().transformer()).contextScales());
            assertTrue(
                    read.yaml().contains("model_guidance_x_cond_ws")
                            && !read.yaml().contains("model_guidance_x_ws")
                            && !read.yaml().contains("rank"),
                    read.yaml());
        }
        assertRefused(
                "model: {transformer: {model_guidance_x_ws: [3], model_guidance_x_cond_ws: [2]}}",
                List.of(),
                "model_guidance_x_cond_ws is [2], but model_guidance_x_ws, its older name, is [3]");
        assertRefused("data: {ranks: 2}", List.of(), "data.ranks is 2, but one process trains alone");
    }

    @ParameterizedTest
    @ValueSource(strings = {"steps", "optimizer.clip", "seed"})
    void numbersMayNotBeNull(String key) {
        assertRefused("", List.of(key + "=null"), key);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"steps: [", "steps: 1\n  batch: 2", "\t- x", "steps: 'a", "{steps: 1", "steps: 1\nsteps: 2"})
    void whatIsNotYamlIsRefused(String text) {
        assertRefused(text, List.of(), "my.yaml");
    }

    @ParameterizedTest
    @ValueSource(strings = {"- steps", "steps", "3"})
    void whatIsNoMappingIsRefused(String text) {
        assertRefused(text, List.of(), "my.yaml is not a YAML mapping");
    }

    @ParameterizedTest
    @ValueSource(strings = {"optimizer=3", "model=[1, 2]", "data.means=3", "data.means=[3]", "optimizer.clip={a: 1}"})
    void aValueInPlaceOfAMappingIsRefused(String override) {
        assertRefused("", List.of(override), override.substring(0, override.indexOf('=')));
    }

    @Test
    void filesThatAreNoneAreRefused(@TempDir Path folder) throws IOException {
        String missing = folder.resolve("no.yaml").toString();
        assertSays(missing, missing + " does not exist", "quickstart, mixture/flow, ");
        assertSays(folder.toString(), folder + " is not a file");
        Path binary = Files.write(folder.resolve("binary.yaml"), new byte[] {(byte) 0xff, (byte) 0xfe, 0, 1});
        assertSays(binary.toString(), binary.toString(), "UTF-8");
        assertSays("../configs/quickstart", "does not exist");
    }

    private static void assertSays(String name, String... parts) {
        String message = String.valueOf(assertThrows(IOException.class, () -> Configs.load(name, List.of()))
                .getMessage());
        for (String part : parts) {
            assertTrue(message.contains(part), message);
        }
    }

    /**
     * Every setting of a closed set: losses, weightings, optimizers, kinds of data, precisions, layouts and switches.
     */
    @Test
    void everyClosedSettingSuggestsTheNearestValue() {
        List<String> checked = new ArrayList<>();
        suggestValues("", TrainConfig.class, checked);
        assertTrue(
                checked.containsAll(List.of(
                        "precision",
                        "data.kind",
                        "data.on_error",
                        "data.flip",
                        "loss.consistency",
                        "loss.diagonal.kind",
                        "loss.consistency_weighting.kind",
                        "loss.through",
                        "loss.velocity",
                        "times.pair.kind",
                        "optimizer.kind",
                        "teacher.kind",
                        "teacher.guidance",
                        "model.transformer.qk_norm",
                        "model.transformer.layout",
                        "model.mlp.layout")),
                checked::toString);
    }

    private static void suggestValues(String prefix, Class<?> type, List<String> checked) {
        for (RecordComponent component : type.getRecordComponents()) {
            JsonProperty property = component.getAccessor().getAnnotation(JsonProperty.class);
            String path = prefix + (property == null ? component.getName() : property.value());
            Class<?> inner = component.getType();
            if (inner.isRecord()) {
                suggestValues(path + ".", inner, checked);
            } else if (inner.isEnum() || inner == boolean.class || inner == Boolean.class) {
                for (String value : Configs.values(inner)) {
                    String mlp = path.startsWith("model.mlp")
                            ? "model.mlp={dimension: 1, width: 8, depth: 1, label_dim: 1, layout: flow-map}"
                            : "seed=1";
                    assertRefused(
                            "",
                            List.of(mlp, path + "=" + value + "q"),
                            "'" + path + "'",
                            "did you mean '" + value + "'?");
                }
                checked.add(path);
            }
        }
    }

    @Test
    void aSettingOfAnotherPlaceIsNamedInFull() {
        assertRefused(
                "",
                List.of("learning_rate=1"),
                "unknown setting 'learning_rate': did you mean 'optimizer.learning_rate'?");
        assertRefused("", List.of("optimizer.batch=1"), "did you mean 'batch'?");
        assertRefused("", List.of("data.kind=3"), "setting 'data.kind' is '3', expected one of fashion-mnist");
    }
}
