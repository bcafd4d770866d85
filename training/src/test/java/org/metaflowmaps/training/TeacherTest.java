package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.data.TrainingData;

/**
 * Teachers of a run, and rejected ones: another direction of time, other classes, and kinds that a file cannot give.
 */
final class TeacherTest {
    private final long live = NativeMemory.liveTensors();

    @TempDir
    private Path folder;

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** Writes a file like the public ones: only a network's tensors. */
    private String file(TransformerConfig config, String prefix, String... more) throws IOException {
        Path file = folder.resolve("public.pt");
        try (FlowMapTransformer source = SmallNetworks.transformer(config);
                TensorScope scope = TensorScope.open()) {
            List<OutgoingTensor> tensors = new ArrayList<>();
            source.parameters().parameters().forEach((name, tensor) -> tensors.add(outgoing(prefix + name, tensor)));
            source.buffers().forEach((name, tensor) -> tensors.add(outgoing(prefix + name, tensor)));
            for (String name : more) {
                tensors.add(outgoing(prefix + name, Torch.zeros(2)));
            }
            TensorFile.write(file, Map.of(), tensors);
        }
        return file.toString();
    }

    private static OutgoingTensor outgoing(String name, Tensor tensor) {
        return new OutgoingTensor.Deferred(name, tensor.dtype(), tensor.shape(), () -> tensor);
    }

    /** Makes a network for {@link Runs}' images. */
    private static TransformerConfig student(boolean zeroData) {
        return TransformerConfig.builder()
                .inputSize(4)
                .patchSize(2)
                .inChannels(1)
                .hiddenSize(8)
                .depth(2)
                .numHeads(2)
                .labelDim(3)
                .encoderDepth(1)
                .zeroData(zeroData)
                .build();
    }

    private static Runs runs(ModelConfig model, TeacherConfig teacher) {
        Runs runs = new Runs();
        runs.model = model;
        runs.consistency = LossConfig.ConsistencyKind.EULERIAN_TEACHER;
        runs.velocity = LossConfig.VelocityKind.TEACHER;
        runs.teacher = teacher;
        return runs;
    }

    private static TeacherConfig network(String file, @Nullable Boolean zeroData) {
        return TeacherConfig.builder()
                .kind(TeacherConfig.Kind.NETWORK)
                .file(file)
                .zeroData(zeroData)
                .build();
    }

    private void step(Runs runs, @Nullable ConditionalDrift given) throws IOException {
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, given, Device.CPU, folder.resolve("run"))) {
            trainer.initialise();
            assertTrue(Double.isFinite(trainer.takeStepAndRead().error("consistency")));
        }
    }

    /**
     * Another width, depth, number of heads and hidden width, normalised queries and a variance, with the other
     * direction of time.
     */
    @ParameterizedTest
    @CsvSource({"ema., false, true", "module., true, false", "'', true, false", "'', false, true"})
    void aPublicTeacherHasItsOwnSizeAndClock(String prefix, boolean zeroData, boolean students) throws IOException {
        TransformerConfig large = TransformerConfig.builder()
                .inputSize(4)
                .patchSize(2)
                .inChannels(1)
                .hiddenSize(24)
                .depth(3)
                .numHeads(3)
                .labelDim(3)
                .encoderDepth(2)
                .mlpRatio(2)
                .zeroData(zeroData)
                .learnSigma(true)
                .qkNorm(true)
                .build()
                .withoutContext();
        String name = file(large, prefix);
        ModelConfig like = ModelConfig.of(student(students));
        try (FlowMapTransformer source = SmallNetworks.transformer(large);
                MetaFlowMap read = Networks.teacher(Path.of(name), like, Optional.of(zeroData), Device.CPU);
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4);
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor time = random.uniform(SmallNetworks.BATCH);
            Tensor state = SmallNetworks.items(source, random);
            assertArrayEquals(
                    new NetworkDrift(source).at(time, state, Condition.none()).toFloatArray(),
                    new NetworkDrift(read).at(time, state, Condition.none()).toFloatArray());
            assertEquals(zeroData, ((FlowMapTransformer) read).config().zeroData());
        }
        step(runs(like, network(name, zeroData)), null);
    }

    /** Only logvar_linear, in DMF files, shows the direction of time; other files need the setting, for any prefix. */
    @Test
    void aTeachersClockIsToldByTheFileOrByTheSetting() throws IOException {
        Runs runs = runs(ModelConfig.of(student(true)), network("unused", null));
        for (String prefix : List.of("ema.", "module.", "")) {
            runs.teacher = network(file(student(false).withoutContext(), prefix), null);
            assertRefused(
                    () -> step(runs, null),
                    "teacher.file names",
                    "public.pt",
                    "does not say",
                    "set teacher.is_zero_data=true");
            runs.teacher = network(file(student(false).withoutContext(), prefix), false);
            step(runs, null);
        }
        String dmf = file(student(true).withoutContext(), "", "logvar_linear.weight");
        runs.model = ModelConfig.of(student(false));
        runs.teacher = network(dmf, null);
        step(runs, null);
        try (MetaFlowMap read = Networks.teacher(Path.of(dmf), runs.model, Optional.empty(), Device.CPU)) {
            assertTrue(((FlowMapTransformer) read).config().zeroData());
        }
    }

    /** A DMF file shows its direction of time; other files use the model's setting. */
    @ParameterizedTest
    @CsvSource({"'', true", "ema., true", "module., true"})
    void firstWeightsOfTheOtherClockAreRefused(String prefix, boolean needed) throws IOException {
        Runs runs = new Runs();
        runs.init = file(student(true).withoutContext(), prefix, "logvar_linear.weight");
        runs.model = ModelConfig.of(student(!needed));
        assertRefused(
                () -> step(runs, null),
                "init names",
                "public.pt",
                "model.transformer.is_zero_data is " + !needed,
                "set model.transformer.is_zero_data=" + needed);
        runs.model = ModelConfig.of(student(needed));
        step(runs, null);
        runs.init = file(student(true).withoutContext(), prefix);
        for (boolean zeroData : new boolean[] {false, true}) {
            runs.model = ModelConfig.of(student(zeroData));
            step(runs, null);
        }
        String unclear = runs.init;
        assertRefused(
                IOException.class,
                () -> Networks.requireClock(Path.of(Objects.requireNonNull(unclear))),
                "does not say",
                "model.transformer.is_zero_data=false");
    }

    /** A run's checkpoint contains its is_zero_data. */
    @Test
    void aCheckpointIsAskedForItsClock() throws IOException {
        Runs runs = new Runs();
        runs.model = ModelConfig.of(student(true));
        runs.steps = 1;
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder.resolve("first"))) {
            trainer.run();
        }
        String checkpoint =
                folder.resolve("first").resolve(CheckpointFolder.CHECKPOINT).toString();
        ModelConfig other = ModelConfig.of(student(false));
        step(runs(other, network(checkpoint, null)), null);
        step(runs(other, network(checkpoint, true)), null);
        assertRefused(
                () -> step(runs(other, network(checkpoint, false)), null),
                "teacher.is_zero_data is false",
                "that it is true",
                "set it to null");
    }

    /** With four classes the student's "no label", 3, would be a class of the teacher. */
    @Test
    void aTeacherOfOtherItemsOrClassesIsRefused() throws IOException {
        ModelConfig like = ModelConfig.of(student(false));
        String classes =
                file(SmallNetworks.transformerConfig(4, 2, 1, 8, 2, 2, 4).withoutContext(), "");
        assertRefused(
                () -> step(runs(like, network(classes, false)), null),
                "the teacher takes items of shape [1, 4, 4] with 4 classes",
                "[1, 4, 4] with 3");
        String items = file(SmallNetworks.transformerConfig(8, 2, 1, 8, 2, 2, 3).withoutContext(), "");
        assertRefused(() -> step(runs(like, network(items, false)), null), "[1, 8, 8] with 3 classes");
    }

    @Test
    void undoingGuidanceIsWarnedOfUnlessItIsPutBack() {
        Runs runs = new Runs();
        runs.teacher = TeacherConfig.builder()
                .kind(TeacherConfig.Kind.NETWORK)
                .file("x")
                .guidance(TeacherConfig.Guidance.DMF)
                .build();
        runs.guidance = 2.5;
        assertFalse(Teacher.undoesTooMuch(runs.config()));
        for (double guidance : new double[] {1, 2}) {
            runs.guidance = guidance;
            assertTrue(Teacher.undoesTooMuch(runs.config()), "w = " + guidance);
        }
        runs.teacher = TeacherConfig.builder()
                .kind(TeacherConfig.Kind.NETWORK)
                .file("x")
                .guidance(TeacherConfig.Guidance.SIT)
                .build();
        assertFalse(Teacher.undoesTooMuch(runs.config()));
    }

    @Test
    void guidanceRowsWithoutScalesAreRefused() throws IOException {
        TransformerConfig guided = TransformerConfig.builder()
                .inputSize(4)
                .patchSize(2)
                .inChannels(1)
                .hiddenSize(8)
                .depth(2)
                .numHeads(2)
                .labelDim(3)
                .encoderDepth(1)
                .classScales(List.of(2.5))
                .build();
        String name = file(guided, "dit.");
        assertRefused(
                IOException.class,
                () -> step(runs(ModelConfig.of(student(false)), network(name, false)), null),
                "public.pt",
                "has 2 rows",
                "scales for 1");
        Runs alike = runs(ModelConfig.of(guided), network(name, false));
        alike.guidance = 2.5;
        step(alike, null);
    }

    /** The tilted law's drift, which no configuration can name, as the teacher of a map of the tilted posteriors. */
    @Test
    void anyDriftCanBeGivenInJava() throws IOException {
        Runs runs = runs(
                ModelConfig.of(SmallNetworks.mlpConfig(2, 48, 2, 3)),
                TeacherConfig.builder().kind(TeacherConfig.Kind.GIVEN).build());
        runs.consistency = LossConfig.ConsistencyKind.NONE;
        runs.optimizer = OptimizerConfig.Kind.ADAMW;
        runs.learningRate = 3e-3;
        runs.batch = 128;
        runs.steps = 300;
        double first = 0;
        double last = 0;
        try (GaussianMixture mixture = GaussianMixture.isotropic(Runs.MEANS, Runs.VARIANCE, Device.CPU);
                GaussianMixture tilted = new LinearGaussianReward(new double[] {1.2, -0.8}, -1, 0.5).tilted(mixture);
                TensorScope scope = TensorScope.open()) {
            try (TrainingData data = runs.data();
                    TrainingRun trainer =
                            new TrainingRun(runs.config(), data, new Glass(tilted.drift()), Device.CPU, folder)) {
                for (int i = 0; i < runs.steps; i++) {
                    double diagonal = trainer.takeStepAndRead().error("diagonal");
                    first = i == 0 ? diagonal : first;
                    last += i >= runs.steps - 50 ? diagonal / 50 : 0;
                }
            }
            // The caller keeps the given teacher.
            Tensor drift = tilted.drift().at(Torch.zeros(1), Torch.zeros(1, 2), Condition.none());
            assertArrayEquals(tilted.mean(), drift.toDoubleArray(), 1e-5);
        }
        assertTrue(first > 5 && last < 0.1 * first, "first " + first + ", last " + last);
    }

    /**
     * The teacher is evaluated twice per step; at the second time the first loss's gradient exists, so its graph is
     * freed.
     */
    @Test
    void eachLossIsDifferentiatedBeforeTheNextIsComputed() throws IOException {
        Runs runs = runs(
                Runs.MLP, TeacherConfig.builder().kind(TeacherConfig.Kind.GIVEN).build());
        List<Double> norms = new ArrayList<>();
        List<TrainingRun> trainers = new ArrayList<>();
        ConditionalDrift watching = (start, state, context) -> {
            norms.add(trainers.getFirst().map().parameters().gradients().norm().item());
            return state.neg();
        };
        try (TrainingData data = runs.data();
                TrainingRun trainer = new TrainingRun(runs.config(), data, watching, Device.CPU, folder)) {
            trainers.add(trainer);
            trainer.takeStepAndRead();
        }
        assertEquals(2, norms.size());
        assertEquals(0, norms.getFirst());
        assertTrue(norms.getLast() > 0.01, "the diagonal loss has left no gradient: " + norms);
    }

    @Test
    void aTeacherIsGivenWhereItIsAskedForAndOnlyThere() {
        TeacherConfig given =
                TeacherConfig.builder().kind(TeacherConfig.Kind.GIVEN).build();
        assertRefused(
                () -> step(runs(Runs.MLP, given), null),
                "teacher.kind is given",
                "in Java",
                "none, network or mixture");
        TeacherConfig mixture =
                TeacherConfig.builder().kind(TeacherConfig.Kind.MIXTURE).build();
        assertRefused(
                () -> step(runs(Runs.MLP, mixture), (start, state, context) -> state),
                "was given a teacher",
                "set it to given");
        assertFalse(folder.resolve("run").toFile().exists());
    }
}
