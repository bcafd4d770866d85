package org.metaflowmaps.cli;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Proxy;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Random;
import java.util.Set;
import java.util.function.DoubleUnaryOperator;
import java.util.function.IntFunction;
import java.util.function.LongSupplier;
import java.util.function.LongToDoubleFunction;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.bytedeco.pytorch.JitModule;
import org.bytedeco.pytorch.QualifiedName;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.models.checkpoint.InferredConfig;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.checkpoint.MissingSettingsException;
import org.metaflowmaps.models.checkpoint.NetworkSettings;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.checkpoint.StrictJson;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.models.sampler.CapturedSampler;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.models.vision.Clip;
import org.metaflowmaps.models.vision.InceptionInput;
import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.models.vision.image.CropGeometry;
import org.metaflowmaps.models.vision.image.FloatImage;
import org.metaflowmaps.models.vision.text.BertTokenizer;
import org.metaflowmaps.models.vision.text.ClipTokenizer;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.JavaCpp;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.ProfilerWindow;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;
import org.metaflowmaps.runtime.cuda.StepGraph;
import org.metaflowmaps.runtime.file.NpyArray;
import org.metaflowmaps.runtime.file.NpzFile;
import org.metaflowmaps.runtime.file.NpzWriter;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.PyTorchFile;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.ShardedFile;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.steering.evaluation.FashionClassifier;
import org.metaflowmaps.steering.evaluation.FashionJudge;
import org.metaflowmaps.steering.evaluation.FeatureSet;
import org.metaflowmaps.steering.evaluation.FrontierCell;
import org.metaflowmaps.steering.evaluation.FrontierFile;
import org.metaflowmaps.steering.evaluation.FrontierMethod;
import org.metaflowmaps.steering.evaluation.FrontierSettings;
import org.metaflowmaps.steering.evaluation.ImageFeatures;
import org.metaflowmaps.steering.evaluation.InceptionFeatures;
import org.metaflowmaps.steering.evaluation.InverseEvaluation;
import org.metaflowmaps.steering.evaluation.JacobianFidelity;
import org.metaflowmaps.steering.evaluation.MixtureEvaluation;
import org.metaflowmaps.steering.evaluation.NoisedItems;
import org.metaflowmaps.steering.evaluation.SampleStatistics;
import org.metaflowmaps.steering.evaluation.SteeringFrontier;
import org.metaflowmaps.steering.evaluation.TorchScriptFeatures;
import org.metaflowmaps.steering.evaluation.ValueAgreement;
import org.metaflowmaps.steering.evaluation.ValueEvaluation;
import org.metaflowmaps.steering.finetune.FineTuneConfig;
import org.metaflowmaps.steering.finetune.FineTuning;
import org.metaflowmaps.steering.finetune.IndependentReward;
import org.metaflowmaps.steering.metric.ClassHistogram;
import org.metaflowmaps.steering.metric.Diversity;
import org.metaflowmaps.steering.metric.FeatureMoments;
import org.metaflowmaps.steering.metric.InceptionScore;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.particle.GreedySearch;
import org.metaflowmaps.steering.particle.ParticleFilter;
import org.metaflowmaps.steering.particle.Potential;
import org.metaflowmaps.steering.particle.Tempering;
import org.metaflowmaps.steering.particle.Transition;
import org.metaflowmaps.steering.reward.Calibration;
import org.metaflowmaps.steering.reward.ClassMixture;
import org.metaflowmaps.steering.reward.Decoder;
import org.metaflowmaps.steering.reward.ImageScore;
import org.metaflowmaps.steering.reward.InverseProblem;
import org.metaflowmaps.steering.reward.JavaReward;
import org.metaflowmaps.steering.reward.LatentDecoder;
import org.metaflowmaps.steering.reward.LinearReward;
import org.metaflowmaps.steering.reward.Measurement;
import org.metaflowmaps.steering.reward.NetworkReward;
import org.metaflowmaps.steering.reward.Prompt;
import org.metaflowmaps.steering.reward.RewardSpec;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.CapturedGradient;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.NoSteering;
import org.metaflowmaps.steering.value.PointGraphs;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.training.Checkpoints;
import org.metaflowmaps.training.ProfiledSteps;
import org.metaflowmaps.training.RunFolder;
import org.metaflowmaps.training.RunIdentity;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.RunState;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.TrainerSettings;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.EncodingSettings;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.ImageFolder;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.LatentShards;
import org.metaflowmaps.training.data.Loader;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.Reading;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.loss.Weighting;
import org.metaflowmaps.training.metrics.MetricsLog;
import org.metaflowmaps.training.metrics.TensorBoardWriter;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;

/**
 * Valid values for the arguments and receivers of public methods, by type and name; made for one case and closed after
 * it.
 *
 * <p>A public method with a type without recipe fails {@link MisuseTest}: add a recipe for the type.
 */
final class MisuseRecipes implements AutoCloseable {
    /** Excluded types, with the reason. */
    static final Map<String, String> EXCLUDED = Map.ofEntries(
            Map.entry("NpzWriter", "exists only while NpzWriter.write runs"),
            Map.entry("StableAbi", "takes raw addresses, undefined as in C when they are wrong"),
            Map.entry("Call", "takes raw addresses"),
            Map.entry("LinearPointwise", "takes raw addresses"),
            Map.entry("Operator", "takes raw addresses"),
            Map.entry("ComputeStream", "takes raw addresses, and needs a GPU"),
            Map.entry("CudaEvents", "takes raw addresses, and needs a GPU"),
            Map.entry("CudaGraphs", "takes raw addresses, and needs a GPU"),
            Map.entry("GraphPool", "takes raw addresses, and needs a GPU"),
            Map.entry("CudaAllocator", "needs a GPU"),
            Map.entry("CudaStream", "needs a GPU"),
            Map.entry("JointStep", "needs a GPU"),
            Map.entry("Current", "needs a GPU"),
            Map.entry("CudaEvent", "needs a GPU"),
            Map.entry("AllocatorStatistics", "needs a GPU"),
            Map.entry("CudaDriver", "takes raw addresses, and needs a GPU"),
            Map.entry("CudaRuntime", "needs a GPU"),
            Map.entry("Nvrtc", "needs CUDA"),
            Map.entry("CudaException", "cannot be made without CUDA"));

    /** Calls that refuse the values of these recipes, with the reason; their other cases still run. */
    static final Map<String, String> REFUSED = Map.of(
            "training.TrainingRun.resume()",
            "a new folder has no checkpoint",
            "training.RunFolder.resume(Trainer trainer)",
            "a new folder has no checkpoint",
            "steering.finetune.FineTuning.resume()",
            "a new folder has no checkpoint",
            "models.model.Condition.keptFrom(TensorScope scope)",
            "the tensors belong to another scope",
            "models.model.Context.keptFrom(TensorScope scope)",
            "the tensors belong to another scope",
            "training.TrainingRun.new(TrainConfig config, TrainingData data, ConditionalDrift given, Device device,"
                    + " Path folder)",
            "the configuration has no teacher",
            "models.vision.ImageReward.load(Path file, DType type, Device device)",
            "the file has other heads than the published network",
            "training.data.FashionMnist.train(Path folder)",
            "needs the whole data set",
            "training.data.IdxImages.train(Path folder, int classes)",
            "needs files of images",
            "training.data.LatentShards.requireMirrorable()",
            "latents have no mirror images");

    private static final int BATCH = 4;
    private static final String INCEPTION = "vision-inception.safetensors/inception.safetensors";
    private static final MlpConfig MLP =
            MlpConfig.builder().dimension(2).width(4).depth(1).labelDim(3).build();
    private static final String MLP_TEXT = "{\"dimension\":2,\"width\":4,\"depth\":1,\"label_dim\":3}";
    private static final Reading READING = new Reading(0, 2, false, false, 0.5);
    private static final TransformerConfig TRANSFORMER = TransformerConfig.builder()
            .inputSize(4)
            .patchSize(2)
            .inChannels(1)
            .hiddenSize(8)
            .depth(1)
            .numHeads(2)
            .labelDim(3)
            .build();
    private static final TransformerConfig IMAGES = TransformerConfig.builder()
            .inputSize(28)
            .patchSize(14)
            .inChannels(1)
            .hiddenSize(8)
            .depth(1)
            .numHeads(2)
            .build();
    private static final FrontierSettings FRONTIER =
            new FrontierSettings(2, 1, 1, 1, 2, FrontierSettings.PAPER_WEIGHTS, 1, "networks", "machine");
    private static final List<double[]> MEANS =
            List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3});
    private static final double[][] IDENTITY = {{1, 0}, {0, 1}};
    private static final Map<Class<?>, Object> CONFIGS = new HashMap<>();

    private final Path folder;
    private final TensorScope scope = TensorScope.open();
    private final Deque<AutoCloseable> open = new ArrayDeque<>();
    private final Map<Class<?>, Object> made = new HashMap<>();
    private @Nullable Tensor leaf;
    private int depth;

    MisuseRecipes(Path folder) {
        this.folder = folder;
    }

    /** Prepares the files that recipes read. */
    static void prepare(Path folder) throws IOException {
        MisuseVision.prepare(folder);
        MisuseLatents.prepare(folder);
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = MlpFlowMap.zeros(MLP, Device.CPU);
                MetaFlowMap transformer = FlowMapTransformer.zeros(TRANSFORMER, Device.CPU)) {
            Map<String, Tensor> tensors = new LinkedHashMap<>(map.parameters().parameters());
            write(folder.resolve("network.safetensors"), tensors);
            tensors.put("name", Torch.zeros(2, 2));
            write(folder.resolve("file.safetensors"), tensors);
            write(folder.resolve("file.pt"), tensors);
            Map<String, Tensor> whole =
                    new LinkedHashMap<>(transformer.parameters().parameters());
            whole.putAll(transformer.buffers());
            write(folder.resolve("transformer.safetensors"), whole);
            try (FashionClassifier classifier = FashionClassifier.shipped(Device.CPU)) {
                Safetensors.write(
                        folder.resolve("classifier.safetensors"),
                        classifier.metadata(),
                        classifier.parameters().parameters());
            }
            try (FashionJudge judge = FashionJudge.shipped(Device.CPU)) {
                Safetensors.write(
                        folder.resolve("judge.safetensors"),
                        judge.metadata(),
                        judge.parameters().parameters());
            }
            try (QualifiedName name = new QualifiedName("Module");
                    JitModule module = new JitModule(name)) {
                module.define(
                        "def forward(self, x, a: bool = False, b: bool = False):\n  return x.flatten(1).mean(1)\n");
                module.save(folder.resolve("module.pt").toString());
            }
            try (QualifiedName name = new QualifiedName("Module");
                    JitModule module = new JitModule(name)) {
                module.define("def forward(self, x):\n  return x.flatten(1)\n");
                module.save(folder.resolve("features.pt").toString());
            }
            NpzFile.write(folder.resolve("file.npz"), Map.of("name", Torch.zeros(2, 2)));
            try (MixtureData data = new MixtureData(MEANS, 0.5, 1, Device.CPU);
                    TrainingRun trainer = new TrainingRun(config(), data, Device.CPU, folder.resolve("run"))) {
                trainer.initialise();
                trainer.run();
            }
            Safetensors.writeSealed(folder.resolve("sealed.safetensors"), Map.of(), Map.of("name", Torch.zeros(2, 2)));
            Path latents = Files.createDirectories(folder.resolve("latents"));
            TensorFile.write(
                    latents.resolve("a.safetensors"),
                    Map.of(),
                    List.of(
                            new OutgoingTensor.Deferred(
                                    "latents", DType.FLOAT32, Shape.of(4, 1, 2, 2), () -> Torch.zeros(4, 1, 2, 2)),
                            new OutgoingTensor.Deferred(
                                    "labels",
                                    DType.INT64,
                                    Shape.of(4),
                                    () -> Torch.zeros(DType.INT64, Device.CPU, 4))));
        }
        for (String name : new String[] {"images/a/1.png", "images/a/3.png", "images/b/2.png", "images/b/4.png"}) {
            Path file = folder.resolve(name);
            Files.createDirectories(file.getParent());
            javax.imageio.ImageIO.write(
                    new java.awt.image.BufferedImage(4, 4, java.awt.image.BufferedImage.TYPE_BYTE_GRAY),
                    "png",
                    file.toFile());
        }
        Path shards = Files.createDirectories(folder.resolve("shards"));
        Files.copy(folder.resolve("file.safetensors"), shards.resolve("model-00001-of-00001.safetensors"));
        Files.writeString(
                shards.resolve("model.safetensors.index.json"),
                "{\"weight_map\": {\"name\": \"model-00001-of-00001.safetensors\"}}");
        Files.writeString(folder.resolve("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nname\n");
        Files.writeString(folder.resolve("merges.txt"), "#version: 1\na b\n");
        Files.writeString(folder.resolve("vocab.json"), clipVocabulary());
        Files.writeString(folder.resolve("file.jsonl"), "");
        Files.writeString(folder.resolve("tokens.json"), "{\"strings\": [{\"text\": \"a\", \"own\": [1]}]}");
        Files.write(folder.resolve("file.idx"), new byte[] {0, 0, 8, 1, 0, 0, 0, 1, 5});
    }

    private static void write(Path file, Map<String, Tensor> tensors) throws IOException {
        TensorFile.write(
                file,
                Map.of("a", "b"),
                tensors.entrySet().stream()
                        .map(entry -> (OutgoingTensor) new OutgoingTensor.Deferred(
                                entry.getKey(),
                                entry.getValue().dtype(),
                                entry.getValue().shape(),
                                entry::getValue))
                        .toList());
    }

    /** Returns the object to call a method on. */
    Object receiver(Method method) {
        Class<?> type = method.getDeclaringClass();
        if (type == Tensor.class && method.getName().equals("baddbmm_")) {
            return half(BATCH, BATCH, BATCH);
        }
        if (type == Tensor.class && method.getName().equals("item")) {
            return Torch.scalar(0.5);
        }
        return value(type, type, "this", method);
    }

    Object[] arguments(Executable call) {
        Object[] example = example(call);
        Object[] arguments = new Object[call.getParameterCount()];
        for (int i = 0; i < arguments.length; i++) {
            String name = call.getParameters()[i].getName();
            arguments[i] = example != null
                    ? example[i]
                    : value(call.getParameterTypes()[i], call.getGenericParameterTypes()[i], name, call);
        }
        return arguments;
    }

    /**
     * Returns the components of a configuration's record of that type, for calls of the record or its builder by
     * parameter name.
     */
    private static Object @Nullable [] example(Executable call) {
        Class<?> owner = call.getDeclaringClass();
        Class<?> type = owner.getSimpleName().equals("Builder") ? owner.getDeclaringClass() : owner;
        Object record =
                type.isRecord() && call.getParameterCount() > 0 ? configs().get(type) : null;
        if (record == null || (call instanceof Method method && method.getReturnType() != owner)) {
            return null;
        }
        List<String> names = Stream.of(type.getRecordComponents())
                .map(RecordComponent::getName)
                .toList();
        Object[] values = components(record);
        Object[] arguments = new Object[call.getParameterCount()];
        for (int i = 0; i < arguments.length; i++) {
            int index = names.indexOf(call.getParameters()[i].getName());
            if (index < 0) {
                return null;
            }
            arguments[i] = values[index];
        }
        return arguments;
    }

    private static Map<Class<?>, Object> configs() {
        if (CONFIGS.isEmpty()) {
            try {
                collect(config());
                collect(TRANSFORMER);
                collect(FRONTIER);
                collect(MisuseLatents.MANIFEST);
                collect(new FrontierCell(FrontierMethod.MFM_GF, 2));
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }
        return CONFIGS;
    }

    private static TrainConfig config() throws IOException {
        return Configs.load(
                        "mixture/meta-flow-map",
                        List.of("steps=2", "batch=4", "model.mlp.width=4", "model.mlp.depth=1"))
                .config();
    }

    private static void collect(Object record) {
        CONFIGS.put(record.getClass(), record);
        for (Object component : components(record)) {
            if (component instanceof Record inner) {
                collect(inner);
            }
        }
    }

    /** Returns a builder of a record in the configuration. */
    private static Object builder(Class<?> record) {
        try {
            Object config = configs().get(record);
            return config == null
                    ? record.getMethod("builder").invoke(null)
                    : record.getMethod("toBuilder").invoke(config);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Object[] components(Object record) {
        RecordComponent[] parts = record.getClass().getRecordComponents();
        Object[] values = new Object[parts.length];
        for (int i = 0; i < parts.length; i++) {
            try {
                values[i] = parts[i].getAccessor().invoke(record);
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException(e);
            }
        }
        return values;
    }

    private <T extends AutoCloseable> T closing(T object) {
        open.push(object);
        return object;
    }

    @SuppressWarnings("MustBeClosedChecker") // closed after the case
    private static Arena arenaOfCase() {
        return Arena.ofShared();
    }

    Object value(Class<?> type, Type generic, String name, Executable call) {
        String owner = call.getDeclaringClass().getSimpleName();
        if (type == Tensor.class) {
            return tensor(name, call, owner);
        }
        Object plain = plain(type, name, call);
        if (plain != null) {
            return plain;
        }
        if (type == List.class || type == Map.class || type == Optional.class) {
            return container(type, generic, name, call);
        }
        if (type == Set.class) {
            return Set.copyOf((List<?>) container(List.class, generic, name, call));
        }
        if (type.isArray()) {
            Class<?> element = type.getComponentType();
            Object array = Array.newInstance(element, 2);
            for (int i = 0; i < 2; i++) {
                Array.set(array, i, value(element, element, name, call));
            }
            return array;
        }
        try {
            Object object = made(type, name, call);
            return object != null ? object : derived(type);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private @Nullable Object plain(Class<?> type, String name, Executable call) {
        String method = call.getName();
        Object vision = MisuseVision.plain(folder, type, name, call);
        if (vision != null) {
            return vision;
        }
        if (type == int.class || type == Integer.class) {
            return Math.toIntExact(number(name, call));
        } else if (type == long.class || type == Long.class) {
            return number(name, call);
        } else if (type == double.class || type == Double.class) {
            return switch (name) {
                case "to" -> 0.75;
                case "guidance", "factor", "high" -> 1.0;
                case "eps" -> 1e-5;
                default -> 0.5;
            };
        } else if (type == boolean.class || type == Boolean.class) {
            return false;
        } else if (type == String.class) {
            return call.getDeclaringClass() == StrictJson.class
                    ? MLP_TEXT
                    : call.getDeclaringClass() == LatentScaling.class
                            ? "{\"scale\": [0.5], \"shift\": [0]}"
                            : call.getDeclaringClass() == RewardSpec.class
                                    ? "brightness"
                                    : method.equals("parse") && !name.equals("json")
                                            ? "cpu"
                                            : switch (name) {
                                                case "prefix", "text" -> "";
                                                case "json" -> "{\"num_heads\": 2}";
                                                case "overrides" -> "seed=3";
                                                default -> method.equals("load") ? "mixture/flow" : "name";
                                            };
        } else if (type == Class.class) {
            return MlpConfig.class;
        } else if (type == Object.class) {
            return name.equals("given") ? new Context(half(BATCH), half(BATCH, 2)) : "object";
        } else if (type == OptionalInt.class) {
            return OptionalInt.empty();
        } else if (type == double[].class && name.equals("covariance")) {
            return new double[] {1, 0, 0, 1};
        } else if (type == OptionalDouble.class) {
            return OptionalDouble.empty();
        } else if (type == Runnable.class) {
            return (Runnable) () -> {};
        } else if (type == Shape.class) {
            return Shape.of(BATCH, BATCH);
        } else if (type == long[].class) {
            return switch (name) {
                case "dims" -> method.equals("permute") ? new long[] {1, 0} : new long[] {0};
                case "stride" -> new long[] {4, 1};
                case "times" -> new long[] {2, 2};
                case "values" -> new long[16];
                default -> new long[] {BATCH, BATCH};
            };
        } else if (type == float[].class) {
            return new float[name.equals("out") ? 784 : name.equals("planes") ? 4 : 16];
        } else if (type == double[].class) {
            return name.equals("values")
                    ? new double[16]
                    : call.getDeclaringClass() == ValueAgreement.class
                            ? new double[] {1, 2, 3, 5}
                            : name.equals("times") ? new double[] {0, 1} : new double[] {1, 1};
        } else if (type == byte[].class) {
            return call.getDeclaringClass() == NpyArray.class
                    ? MisuseLatents.npy()
                    : name.equals("pixels") && call.getDeclaringClass() != ByteImage.class
                            ? new byte[BATCH * 784]
                            : name.equals("png") ? png() : new byte[BATCH];
        } else if (type == InputStream.class) {
            return new ByteArrayInputStream(new byte[] {0, 0, 8, 1, 0, 0, 0, 1, 5});
        } else if (type == Path.class) {
            return path(name, call.getDeclaringClass());
        } else if (type == MemorySegment.class) {
            return Arena.ofAuto().allocate(name.equals("out") || name.equals("row") ? 784 * 4 : 64, 64);
        } else if (type == Arena.class) {
            return closing(arenaOfCase());
        } else if (type == Device.class) {
            return Device.CPU;
        } else if (type == DType.class) {
            return DType.FLOAT32;
        } else if (type.isEnum()) {
            return configs().getOrDefault(type, type.getEnumConstants()[0]);
        }
        return null;
    }

    private static long number(String name, Executable call) {
        Class<?> owner = call.getDeclaringClass();
        return switch (name) {
            case "dim",
                    "start",
                    "from",
                    "begin",
                    "index",
                    "rank",
                    "offset",
                    "first",
                    "low",
                    "position",
                    "resumedAt",
                    "top",
                    "left",
                    "component",
                    "taken",
                    "label",
                    "step" -> 0;
            case "workers" -> owner == EncodingSettings.class ? 1 : 0;
            case "draws" -> owner == JacobianFidelity.class ? BATCH : 2;
            case "particles" -> owner == ValueEvaluation.class ? 2 : 1;
            case "steps",
                    "group",
                    "count",
                    "times",
                    "chunks",
                    "dimension",
                    "classes",
                    "projections",
                    "contexts",
                    "to",
                    "warmUp",
                    "inputSize" -> 2;
            case "size" -> owner == ImageFolder.class ? 4 : 2;
            case "height", "width" -> owner == LabelledImages.class ? 28 : 2;
            case "batch", "samples" -> BATCH;
            case "high" -> 5;
            case "end", "context" -> 8;
            default -> 1;
        };
    }

    private Path path(String name, Class<?> owner) {
        String type = owner.getSimpleName();
        return folder.resolve(
                switch (name) {
                    case "folder" ->
                        type.equals("LatentShards")
                                ? "latents"
                                : type.equals("LatentManifest")
                                        ? "encoded"
                                        : type.equals("ImageFolder")
                                                        || type.equals("ImageFiles")
                                                        || type.equals("DataCheck")
                                                ? "images"
                                                : "out";
                    case "target", "to" -> "out/" + System.nanoTime() + ".safetensors";
                    case "run" -> "out/run";
                    case "merges" -> "merges.txt";
                    case "vocabulary" -> type.equals("BertTokenizer") ? "vocab.txt" : "vocab.json";
                    default -> file(type);
                });
    }

    private static String file(String owner) {
        return switch (owner) {
            case "Checkpoint", "Networks" -> "run/checkpoint.safetensors";
            case "FashionClassifier" -> "classifier.safetensors";
            case "FashionJudge" -> "judge.safetensors";
            case "ClassifierTraining" -> "out/classifier.safetensors";
            case "MetricsLog" -> "file.jsonl";
            case "FrontierFile" -> "out/frontier.jsonl";
            case "PyTorchFile" -> "file.pt";
            case "ScriptModule", "TorchScriptReward" -> "module.pt";
            case "TorchScriptFeatures" -> "features.pt";
            case "NpzFile" -> "file.npz";
            case "LatentDecoder" -> "vision-taesd.safetensors/taesd.safetensors";
            case "ImageFiles" -> "images/a/1.png";
            case "InceptionFeatures" -> INCEPTION;
            case "Idx" -> "file.idx";
            case "ImageReferences" -> "references.safetensors";
            case "TokenReferences" -> "tokens.json";
            default -> "file.safetensors";
        };
    }

    /** Returns values that need a certain shape or range. */
    private Tensor tensor(String name, Executable call, String owner) {
        String place = owner + "." + call.getName() + "." + name;
        if (MisuseVision.owns(call)) {
            return MisuseVision.tensor(owner, name);
        }
        switch (place) {
            case "Torch.groupNorm.weight",
                    "Torch.batchNorm.weight",
                    "Torch.batchNorm.mean",
                    "Torch.batchNorm.variance",
                    "Torch.layerNorm.weight" -> {
                return half(BATCH);
            }
            case "Torch.scaledDotProductAttention.mask" -> {
                return Torch.zeros(DType.BOOL, Device.CPU, 1, 1, 4, 4);
            }
            case "Autograd.backward.loss",
                    "BlockTape.backward.loss",
                    "BlockTape.gradient.loss",
                    "Autograd.gradients.output",
                    "Autograd.gradientsWithGraph.output" -> {
                return leaf().square().sum();
            }
            case "BlockTape.gradient.leaf" -> {
                return leaf();
            }
            case "ParameterArena.view.flat", "ParameterArena.over.flat" -> {
                return Torch.zeros(64);
            }
            case "MaximumMeanDiscrepancy.scale.samples",
                    "MaximumMeanDiscrepancy.squared.first",
                    "MaximumMeanDiscrepancy.squared.second",
                    "SlicedWasserstein.projected.samples",
                    "SlicedWasserstein.between.first",
                    "SlicedWasserstein.between.second",
                    "SlicedWasserstein.distances.first",
                    "SlicedWasserstein.distances.second" -> {
                return half(1, BATCH, 2);
            }
            case "PixelDecoder.decode.states",
                    "ClassLogLikelihood.score.samples",
                    "ClassMixture.score.samples",
                    "ImageStatistic.score.samples",
                    "InverseProblem.score.samples",
                    "JavaReward.score.samples",
                    "TorchScriptReward.score.samples",
                    "ImageFeatures.of.images" -> {
                return half(BATCH, 1, 28, 28);
            }
            case "NetworkReward.score.samples" -> {
                return half(BATCH, 3, 8, 8);
            }
            case "LatentDecoder.decode.states", "LatentDecoder.pixels.states" -> {
                return half(BATCH, 4, 2, 2);
            }
            case "LatentScaling.scaled.latents", "LatentScaling.unscaled.latents" -> {
                return half(BATCH, 1, 2, 2);
            }
            case "InceptionFeatures.of.images" -> {
                return Torch.zeros(DType.UINT8, Device.CPU, 1, 3, 9, 8);
            }
            case "Measurement.observe.image" -> {
                return half(1, 28, 28);
            }
            case "InverseEvaluation.of.truth" -> {
                return half(1, 4, 4);
            }
            case "Measurement.inpainting.mask" -> {
                return half(28, 28).fill_(1);
            }
            case "RandomSource.restore.state" -> {
                return closing(RandomSource.seeded(2)).state();
            }
            default -> {}
        }
        if (owner.equals("ParticleResult") && name.equals("scores")) {
            // BATCH items of one particle.
            return half(BATCH, 1);
        }
        if (owner.equals("InverseProblem") || owner.equals("RewardContext")) {
            return name.equals("images") ? half(BATCH, 1, 28, 28) : half(1, 28, 28);
        }
        boolean fundamental = call.getDeclaringClass().getPackageName().endsWith(".runtime");
        return switch (name) {
            case "labels", "otherLabels" -> Torch.zeros(DType.INT64, Device.CPU, BATCH);
            case "index" ->
                call.getName().equals("gather")
                        ? Torch.zeros(DType.INT64, Device.CPU, BATCH, BATCH)
                        : Torch.zeros(DType.INT64, Device.CPU, BATCH);
            case "mask" -> Torch.zeros(DType.BOOL, Device.CPU, BATCH, BATCH);
            case "bias", "gain" -> half(call.getName().equals("conv2d") ? 1 : BATCH);
            case "step" -> Torch.scalar(1);
            case "mean", "rstd" -> half(BATCH, 1);
            case "images" -> half(BATCH, 1, 28, 28);
            case "logits" -> half(BATCH, 3);
            case "scale", "loss", "error", "alpha", "learningRate", "skip" -> Torch.scalar(0.5);
            default -> fundamental || owner.equals("Dual") ? square(call.getName(), name) : model(name, owner);
        };
    }

    private static Tensor square(String method, String name) {
        return switch (method) {
            case "conv2d" -> name.equals("weight") ? half(1, 1, 3, 3) : half(1, 1, 4, 4);
            case "maxPool2d",
                    "avgPool2d",
                    "scaledDotProductAttention",
                    "causalAttention",
                    "fusedAttention",
                    "attention",
                    "upsampleNearest2d",
                    "upsampleBilinear2d",
                    "upsampleBicubic2d",
                    "interpolateBilinear2d",
                    "interpolateBicubic2d" -> half(1, 1, 4, 4);
            case "baddbmm_" -> half(BATCH, BATCH, BATCH);
            default -> half(BATCH, BATCH);
        };
    }

    private Tensor model(String name, String owner) {
        if (owner.equals("FashionClassifier")) {
            return half(BATCH, shippedClassifier().metadata().isEmpty() ? 128 : featureWidth());
        }
        if (name.equals("flat")) {
            MetaFlowMap map = owner.equals("FlowMapTransformer")
                    ? closing(FlowMapTransformer.zeros(TRANSFORMER, Device.CPU))
                    : map();
            return Torch.zeros(map.parameters().values().numel());
        }
        return switch (name) {
            case "start", "time", "fraction", "vector", "guidance", "scales", "weights" -> half(BATCH);
            case "end" -> half(BATCH).add(0.25);
            default -> owner.equals("FlowMapTransformer") ? half(BATCH, 1, 4, 4) : half(BATCH, 2);
        };
    }

    private int featureWidth() {
        return Math.toIntExact(shippedClassifier().features(half(1, 1, 28, 28)).size(1));
    }

    /** The symbols of all bytes, alone and at the end of a word; one merge, and the special tokens. */
    private static String clipVocabulary() {
        StringBuilder json = new StringBuilder("{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"ab\": 2");
        int id = 3;
        for (int c = 33; c < 324; c++) {
            if (c < 127 || c > 255 || (c > 160 && c != 173)) {
                String symbol = c == '"' || c == '\\' ? "\\" + (char) c : String.valueOf((char) c);
                json.append(", \"").append(symbol).append("\": ").append(id++);
                json.append(", \"").append(symbol).append("</w>\": ").append(id++);
            }
        }
        return json.append('}').toString();
    }

    private static Tensor half(long... shape) {
        return Torch.full(0.5, DType.FLOAT32, Device.CPU, shape);
    }

    private Tensor leaf() {
        Tensor made = leaf;
        if (made == null) {
            made = half(BATCH).requiresGrad_(true);
            leaf = made;
        }
        return made;
    }

    private Object container(Class<?> type, Type generic, String name, Executable call) {
        Type[] parts = generic instanceof ParameterizedType parameterized
                ? parameterized.getActualTypeArguments()
                : new Type[] {String.class, String.class};
        if (type == Optional.class) {
            return Optional.of(element(parts[0], name, call));
        } else if (type == Map.class) {
            return Map.of(element(parts[0], name, call), element(parts[1], name, call));
        }
        if (parts[0] == Tensor.class) {
            return List.of(leaf());
        } else if (name.equals("means")) {
            return MEANS;
        } else if (name.equals("covariances")) {
            return List.of(IDENTITY, IDENTITY, IDENTITY);
        } else if (name.equals("weights")) {
            return List.of(0.5, 0.25, 0.25);
        } else if (name.equals("classNames")) {
            return List.of("a", "b");
        } else if (name.equals("shape") || name.equals("strides")) {
            return List.of(4L, 4L);
        }
        return List.of(element(parts[0], name, call));
    }

    private Object element(Type part, String name, Executable call) {
        if (part instanceof java.lang.reflect.WildcardType wild
                && wild.getUpperBounds()[0] instanceof ParameterizedType) {
            return element(wild.getUpperBounds()[0], name, call);
        }
        Class<?> type = part instanceof Class<?> plain
                ? plain
                : part instanceof ParameterizedType wide
                        ? (Class<?>) wide.getRawType()
                        : part instanceof java.lang.reflect.WildcardType wild
                                ? (Class<?>) wild.getUpperBounds()[0]
                                : Object.class;
        return value(type, part, type == String.class && !name.equals("overrides") ? "name" : name, call);
    }

    private MetaFlowMap map() {
        return (MetaFlowMap) made.computeIfAbsent(
                MetaFlowMap.class,
                type -> closing(MlpFlowMap.initialised(MLP, Device.CPU, closing(RandomSource.seeded(3)))));
    }

    private RunState runState() {
        ParameterArena parameters = map().parameters();
        return new RunState(
                map(),
                closing(new MovingAverage(parameters, 0.9, 0)),
                closing(RandomSource.seeded(1)),
                List.of(closing((Optimizer) new AdamW(parameters, 0.9, 0.99, 1e-8, 0.1))),
                new MisuseObjective(parameters));
    }

    private FashionClassifier shippedClassifier() {
        return (FashionClassifier)
                made.computeIfAbsent(FashionClassifier.class, type -> closing(FashionClassifier.shipped(Device.CPU)));
    }

    private static Condition condition() {
        return Condition.labelled(Torch.zeros(DType.INT64, Device.CPU, BATCH))
                .guided(half(BATCH).fill_(1));
    }

    private Potential potential(Executable call) {
        return Potential.of((ValueFunction) value(ValueFunction.class, ValueFunction.class, "value", call));
    }

    private ParameterArena arena() {
        return (ParameterArena) made.computeIfAbsent(
                ParameterArena.class, type -> closing(new ParameterArena(Map.of("name", Shape.of(2, 2)), Device.CPU)));
    }

    private CheckpointLayout layout(String file) throws IOException {
        return CheckpointLayout.at(closing(TensorFile.open(folder.resolve(file + ".safetensors"))), "");
    }

    private MissingSettingsException missing() throws IOException {
        try {
            Networks.check(folder.resolve("transformer.safetensors"), NetworkSettings.none());
            throw new IllegalStateException("nothing is missing");
        } catch (MissingSettingsException e) {
            return e;
        }
    }

    private static FeatureMoments moments() {
        FeatureMoments moments = new FeatureMoments(2);
        moments.add(Torch.of(new float[] {0, 1, 1, 0, 2, 2}, 3, 2));
        return moments;
    }

    private static InceptionFeatures.Found found() {
        return new InceptionFeatures.Found(half(BATCH, 2), Optional.of(half(BATCH, 2)), half(BATCH, 3));
    }

    private NpzWriter finishedWriter() throws IOException {
        Deque<NpzWriter> made = new ArrayDeque<>();
        NpzWriter.write(folder.resolve("out/" + System.nanoTime() + ".npz"), made::add);
        return made.element();
    }

    private static InceptionScore score() {
        InceptionScore score = new InceptionScore(2);
        score.add(half(BATCH, 3));
        return score;
    }

    private static FeatureSet features() {
        FeatureSet features = new FeatureSet(100, 1, true);
        features.add(found());
        return features;
    }

    private static ClassHistogram histogram() {
        ClassHistogram histogram = new ClassHistogram(2);
        histogram.add(Torch.of(new long[] {0, 1, 1}));
        return histogram;
    }

    private static Diversity diversity() {
        Diversity diversity = new Diversity(2, 2);
        diversity.add(half(BATCH, 2), Torch.of(new long[] {0, 1, 1, 0}));
        return diversity;
    }

    private static SampleStatistics statistics() {
        SampleStatistics statistics = new SampleStatistics(
                images -> images.reshape(images.size(0), -1).narrow(1, 0, 2), Optional.empty(), 3);
        statistics.add(half(BATCH, 1, 28, 28), Optional.empty());
        return statistics;
    }

    private static byte[] png() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try {
            javax.imageio.ImageIO.write(
                    new java.awt.image.BufferedImage(4, 4, java.awt.image.BufferedImage.TYPE_BYTE_GRAY), "png", bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return bytes.toByteArray();
    }

    private SteeredSampler steered(int steps) {
        return new SteeredSampler(new NoSteering(mixture().drift()), TimeGrid.linspace(0.01, steps), Dynamics.ODE);
    }

    private GaussianMixture mixture() {
        return (GaussianMixture) made.computeIfAbsent(
                GaussianMixture.class, type -> closing(GaussianMixture.isotropic(MEANS, 0.5, Device.CPU)));
    }

    private static LabelledImages images() {
        byte[] pixels = new byte[BATCH * 784];
        new Random(1).nextBytes(pixels);
        return new LabelledImages(pixels, 1, 28, 28, new byte[] {0, 1, 1, 0}, List.of("a", "b"));
    }

    /** Returns objects that need preparation. */
    private @Nullable Object made(Class<?> type, String name, Executable call) throws IOException {
        AutoCloseable vision = MisuseVision.made(folder, type, call);
        if (vision != null) {
            return closing(vision);
        }
        Object latents = MisuseLatents.made(folder, type);
        if (latents != null) {
            return latents;
        }
        return switch (type.getSimpleName()) {
            case "Availability" -> new org.metaflowmaps.bindings.Availability.Found("place");
            case "Tensor" -> JavaCpp.unwrap(half(BATCH, BATCH));
            case "FileChannel" ->
                closing(java.nio.channels.FileChannel.open(
                        folder.resolve("out/channel"),
                        java.nio.file.StandardOpenOption.CREATE,
                        java.nio.file.StandardOpenOption.WRITE));
            case "Entry" ->
                type.getDeclaringClass() == TensorFile.class
                        ? closing(TensorFile.open(folder.resolve("file.safetensors")))
                                .entries()
                                .get("name")
                        : null;
            case "TensorScope" -> closing(TensorScope.open());
            case "Autocast" -> closing(Autocast.bfloat16(Device.Type.CPU));
            case "Mode" -> closing(Autograd.noGrad());
            case "BlockTape" -> closing(BlockTape.open());
            case "Hold" -> closing(Workers.hold());
            case "ProfilerRange" -> closing(ProfilerRange.open("name"));
            case "ProfilerWindow" -> closing(new ProfilerWindow());
            case "ProfiledSteps" -> new ProfiledSteps(1, 2);
            case "RandomSource" -> closing(RandomSource.seeded(1));
            case "ParameterArena" -> arena();
            case "PyTorchFile" -> closing(PyTorchFile.open(folder.resolve("file.pt")));
            case "ShardedFile" -> closing((ShardedFile) TensorFile.open(folder.resolve("shards")));
            case "SafetensorsFile" -> closing(SafetensorsFile.open(folder.resolve("sealed.safetensors")));
            case "TensorFile" ->
                closing(TensorFile.open(folder.resolve(
                        switch (call.getDeclaringClass().getSimpleName()) {
                            case "InferredConfig" -> "transformer.safetensors";
                            case "Networks" -> "run/checkpoint.safetensors";
                            case "NetworkFile" -> "network.safetensors";
                            default -> "file.safetensors";
                        })));
            case "OutgoingTensor" ->
                new OutgoingTensor.Deferred("name", DType.FLOAT32, Shape.of(4, 4), () -> half(BATCH, BATCH));
            case "Network", "MetaFlowMap", "MlpFlowMap" ->
                call.getDeclaringClass() == SteeringFrontier.class
                        ? closing(FlowMapTransformer.zeros(IMAGES, Device.CPU))
                        : call.getDeclaringClass() == InverseEvaluation.class
                                ? closing(FlowMapTransformer.zeros(TRANSFORMER, Device.CPU))
                                : map();
            case "FrontierFile" ->
                closing(FrontierFile.open(folder.resolve("out/" + System.nanoTime() + ".jsonl"), FRONTIER));
            case "InverseProblem" ->
                call.getDeclaringClass() == InverseEvaluation.class
                        ? closing(new InverseProblem(Measurement.downsampling(2), half(1, 2, 2), 0.5))
                        : null;
            case "FlowMapTransformer" -> closing(FlowMapTransformer.zeros(TRANSFORMER, Device.CPU));
            case "FeatureMoments" -> moments();
            case "FeatureSet" -> closing(features());
            case "Found" -> type == InceptionFeatures.Found.class ? found() : null;
            case "InceptionFeatures" ->
                closing(InceptionFeatures.load(folder.resolve(INCEPTION), InceptionInput.TENSORFLOW, Device.CPU));
            case "InceptionScore" -> score();
            case "ClassHistogram" -> histogram();
            case "Diversity" -> diversity();
            case "GaussianStatistics" -> moments().statistics();
            case "SampleStatistics" -> statistics();
            case "ImageFeatures" -> (ImageFeatures) images -> images.reshape(images.size(0), -1);
            case "TorchScriptFeatures" -> closing(TorchScriptFeatures.load(folder.resolve("features.pt"), Device.CPU));
            case "NpzFile" -> closing(NpzFile.open(folder.resolve("file.npz")));
            case "NpzWriter" -> finishedWriter();
            case "NpzArray" ->
                closing(closing(NpzFile.open(folder.resolve("file.npz"))).array("name"));
            case "ByteImage" -> ByteImage.of(new byte[3][16], 4, 4);
            case "FloatImage" -> FloatImage.of(new float[3][16], 4, 4);
            case "CropGeometry" -> CropGeometry.torchvision(4, 4, 2);
            case "Tokenizer", "BertTokenizer" -> BertTokenizer.open(folder.resolve("vocab.txt"), 8);
            case "ClipTokenizer" -> ClipTokenizer.openClip(folder.resolve("merges.txt"), 8);
            case "IdxArray" -> org.metaflowmaps.training.data.Idx.read(folder.resolve("file.idx"));
            case "InferredConfig" ->
                InferredConfig.of(
                        closing(TensorFile.open(folder.resolve("transformer.safetensors"))), layout("transformer"));
            case "Sampler" ->
                call.getDeclaringClass() == JacobianFidelity.class
                        ? (Sampler<Context>) (noise, given, listener) ->
                                new SampleResult(given.state().add(noise.next()), 1, Duration.ZERO)
                        : (Sampler<Object>) (noise, given, listener) ->
                                new SampleResult(noise.next().clone(), 1, Duration.ZERO);
            case "CapturedSampler" ->
                closing(CapturedSampler.ofPosteriors(
                        (noise, given, listener) ->
                                new SampleResult(noise.next().clone(), 1, Duration.ZERO),
                        map(),
                        2));
            case "CapturedGradient" ->
                new CapturedGradient(new NoSteering(mixture().drift()), (PointGraphs)
                        value(PointGraphs.class, PointGraphs.class, "graphs", call));
            case "PointGraphs" -> closing(new PointGraphs(Device.CPU, 2));
            case "StepGraph" -> closing(new StepGraph(Device.CPU, 2));
            case "Step" -> type == StepGraph.Step.class ? (StepGraph.Step) inputs -> List.copyOf(inputs) : null;
            case "NoisedItems" -> new NoisedItems(half(BATCH, 2), Condition.none(), 1);
            case "SampleResult" -> new SampleResult(half(BATCH, 2), 1, Duration.ZERO);
            case "Duration" -> Duration.ZERO;
            case "MissingSettingsException" -> missing();
            case "TensorException" ->
                org.junit.jupiter.api.Assertions.assertThrows(TensorException.class, () -> half(2).add(half(3)));
            case "Noise" -> (Noise) () -> half(BATCH, 2);
            case "SamplingListener" -> SamplingListener.NONE;
            case "TimeGrid" ->
                call.getDeclaringClass() == SteeredSampler.class ? TimeGrid.linspace(0.01, 2) : TimeGrid.uniform(2);
            case "SteeredSampler" -> steered(2);
            case "Schedule" -> Schedule.always(new NoSteering(mixture().drift()));
            case "Dynamics" -> Dynamics.ODE;
            case "IntFunction" -> (IntFunction<SteeredSampler>) this::steered;
            case "LoadedNetwork" ->
                new LoadedNetwork(
                        closing(MlpFlowMap.zeros(MLP, Device.CPU)),
                        MLP,
                        new CheckpointLayout(CheckpointLayout.Family.OTHER, "dit."),
                        true,
                        List.of());
            case "NetworkSettings" -> NetworkSettings.none();
            case "Context" ->
                call.getDeclaringClass() == FlowMapTransformer.class
                        ? new Context(half(BATCH), half(BATCH, 1, 4, 4))
                        : new Context(half(BATCH), half(BATCH, 2), condition());
            case "Condition" -> condition();
            case "Dual" ->
                Dual.of(
                        tensor(name, call, call.getDeclaringClass().getSimpleName()),
                        tensor(name, call, call.getDeclaringClass().getSimpleName()));
            case "GaussianMixture" -> mixture();
            case "Drift" -> mixture().drift();
            case "ConditionalDrift" -> mixture().conditionalDrift();
            case "SteeringNoise" -> KeyedNoise.of(1, 0, BATCH, 1, Shape.of(2), Device.CPU);
            case "ValueGradient" -> new NoSteering(mixture().drift());
            case "ValueFunction" -> new ValueFunction(map(), (Tilt) value(Tilt.class, Tilt.class, "tilt", call), 16);
            case "Budget" -> Budget.NONE;
            case "UnaryOperator" -> UnaryOperator.<Tensor>identity();
            case "LongSupplier" -> (LongSupplier) () -> 0;
            case "GreedySearch" ->
                new GreedySearch(
                        (ValueFunction) value(ValueFunction.class, ValueFunction.class, "value", call),
                        GreedySearch.paperGrid(2),
                        1,
                        GreedySearch.Resampling.MAX_OVERALL,
                        GreedySearch.Renoising.STOCHASTIC);
            case "Potential" -> potential(call);
            case "Tempering" -> Tempering.NONE;
            case "Transition" -> new Transition.PosteriorDraw(map());
            case "ParticleFilter" ->
                new ParticleFilter(potential(call), new Transition.PosteriorDraw(map()), TimeGrid.uniform(2), 1, 0.5);
            case "DoubleUnaryOperator" -> (DoubleUnaryOperator) time -> 1;
            case "Reward" -> closing(LinearReward.ofStates(new double[] {1, 1}, Device.CPU));
            case "Decoder" -> Decoder.IDENTITY;
            case "LatentDecoder" ->
                closing(LatentDecoder.load(folder.resolve("vision-taesd.safetensors/taesd.safetensors"), Device.CPU));
            case "NetworkReward" ->
                closing(NetworkReward.ofClip(
                        NetworkReward.Options.of(ImageScore.HPSV2),
                        (Clip) value(Clip.class, Clip.class, "clip", call),
                        "name",
                        BertTokenizer.open(folder.resolve("vocab.txt"), 8),
                        Prompt.of("name")));
            case "ImageClassifier" -> shippedClassifier();
            case "ClassMixture" ->
                closing(new ClassMixture(shippedClassifier(), new double[] {1, 1, 1, 1, 1, 1, 1, 1, 1, 0}, Device.CPU));
            case "Scorer" -> (JavaReward.Scorer) (images, shape) -> new float[(int) shape.size(0)];
            case "Calibration" -> new Calibration(new double[] {0, 1, 2}, 0.1);
            case "LinearGaussianReward" -> new LinearGaussianReward(new double[] {1, 0}, 0.5, 0.5);
            case "Velocity", "Field" -> new Velocity.Own();
            case "Weighting" -> new Weighting.L2();
            case "Consistency" -> (Consistency) new org.metaflowmaps.training.loss.Semigroup(map());
            case "LabelledImages" -> images();
            case "ImageData" -> closing(new ImageData(images()));
            case "ImageFolder" -> closing(new ImageFolder(folder.resolve("images"), 4, 1));
            case "LatentShards" -> closing(new LatentShards(folder.resolve("latents"), 1, 3, 1));
            case "Items" -> made(ImageFolder.class, name, call);
            case "Loader" ->
                closing(new Loader(new ImageFolder(folder.resolve("images"), 4, 1), 1, READING, Device.CPU));
            case "TrainingData" ->
                call.getName().equals("heldOut") ? made(Loader.class, name, call) : made(MixtureData.class, name, call);
            case "NetworkConfig" -> MLP;
            case "Builder" -> builder(type.getDeclaringClass());
            case "Reading" -> READING;
            case "MixtureData" -> closing(new MixtureData(MEANS, 0.5, 1, Device.CPU));
            case "FashionClassifier" -> shippedClassifier();
            case "Objective", "GraphObjective" -> new MisuseObjective(arena());
            case "Trainer" ->
                closing(new Trainer<>(
                        new MisuseObjective(arena()),
                        closing(new MixtureData(MEANS, 0.5, 1, Device.CPU)),
                        List.of(closing(new AdamW(arena(), 0.9, 0.99, 1e-8, 0.1))),
                        Optional.empty(),
                        TrainerSettings.of(2, 2, step -> 1e-3),
                        Checkpoints.NONE));
            case "Checkpoints" -> Checkpoints.NONE;
            case "RunListener" -> new RunListener() {};
            case "LongToDoubleFunction" -> (LongToDoubleFunction) step -> 1e-3;
            case "TrainingRun" ->
                closing(new TrainingRun(
                        config(),
                        closing(new MixtureData(MEANS, 0.5, 1, Device.CPU)),
                        Device.CPU,
                        Files.createTempDirectory(folder, "run")));
            case "Settings" -> new MixtureEvaluation.Settings(List.of(0.5), 1, 4, 2, true, 1);
            case "Look" -> (RunFolder.Look) (board, step) -> Map.of();
            case "RunIdentity" -> RunIdentity.of(new ModelConfig(null, MLP), Map.of("a", 1), List.of(), 2);
            case "RunState" -> runState();
            case "RunFolder" ->
                closing(new RunFolder(
                        Files.createTempDirectory(folder, "run"),
                        (RunIdentity) value(RunIdentity.class, RunIdentity.class, "identity", call),
                        1,
                        0,
                        runState()));
            case "Tilt" -> new Tilt(new MisuseReward(), 1);
            case "IndependentReward" -> (IndependentReward) (student, step) -> 1;
            case "FineTuning" ->
                closing(new FineTuning(
                        (LoadedNetwork) value(LoadedNetwork.class, LoadedNetwork.class, "base", call),
                        closing(new MixtureData(MEANS, 0.5, 1, Device.CPU)),
                        new Tilt(new MisuseReward(), 1),
                        FineTuneConfig.builder().steps(2).batch(BATCH).build(),
                        Optional.empty(),
                        Device.CPU,
                        Files.createTempDirectory(folder, "run")));
            case "MetricsLog" -> closing(MetricsLog.open(folder.resolve("out/" + System.nanoTime() + ".jsonl"), 0));
            case "TensorBoardWriter" -> closing(TensorBoardWriter.open(folder.resolve("out"), 0));
            case "CheckpointLayout" ->
                layout(call.getDeclaringClass() == InferredConfig.class ? "transformer" : "file");
            case "AdamW", "Optimizer" -> closing((Optimizer) new AdamW(arena(), 0.9, 0.99, 1e-8, 0.1));
            case "MovingAverage" -> closing(new MovingAverage(arena(), 0.9, 0));
            case "Supplier" ->
                call.getDeclaringClass() == Workers.class
                        ? (Supplier<List<Tensor>>) () -> List.of(Torch.zeros(2))
                        : (Supplier<Tensor>)
                                () -> half(BATCH, call.getDeclaringClass() == OutgoingTensor.Deferred.class ? 4 : 2);
            default -> configs().get(type);
        };
    }

    /**
     * Makes a record from its components, a class by its shortest public constructor or factory, an interface by a
     * stub.
     */
    private Object derived(Class<?> type) throws IOException {
        if (depth++ > 8) {
            throw new IllegalStateException("no recipe for " + type.getName());
        }
        try {
            Executable maker = maker(type);
            if (maker != null) {
                Object[] arguments = arguments(maker);
                Object object = maker instanceof Constructor<?> constructor
                        ? constructor.newInstance(arguments)
                        : ((Method) maker).invoke(null, arguments);
                if (object instanceof AutoCloseable closeable) {
                    closing(closeable);
                }
                return object;
            }
            if (type.isInterface()) {
                return Proxy.newProxyInstance(
                        type.getClassLoader(),
                        new Class<?>[] {type},
                        (proxy, method, arguments) -> method.getReturnType() == Tensor.class
                                ? half(BATCH, 2)
                                : method.getReturnType() == long.class
                                        ? (Object) (long) BATCH
                                        : method.isDefault()
                                                ? null
                                                : method.getReturnType() == String.class ? "stub" : null);
            }
            throw new IllegalStateException("no recipe for " + type.getName() + " in MisuseRecipes");
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("no recipe makes " + type.getName() + ": " + e.getCause(), e);
        } finally {
            depth--;
        }
    }

    private static @Nullable Executable maker(Class<?> type) {
        Executable best = null;
        for (Executable call : PublicSurface.calls(type)) {
            boolean makes = call instanceof Constructor<?>
                    || (call instanceof Method method
                            && Modifier.isStatic(method.getModifiers())
                            && method.getReturnType() == type);
            boolean better = best == null
                    || (call instanceof Constructor<?> && !(best instanceof Constructor<?>))
                    || (call.getClass() == best.getClass() && call.getParameterCount() < best.getParameterCount());
            best = makes && better ? call : best;
        }
        return best;
    }

    /** Closes a case's result. */
    void adopt(@Nullable Object result) {
        if (result instanceof AutoCloseable closeable && !(result instanceof Tensor)) {
            open.push(closeable);
        }
    }

    /** Closes everything; a failure here is a failure of the case. */
    @Override
    public void close() throws Exception {
        Exception failure = null;
        for (AutoCloseable object : open) {
            try {
                object.close();
            } catch (Exception e) {
                failure = e;
            }
        }
        try {
            scope.close();
        } catch (IllegalStateException e) {
            failure = failure == null ? e : failure;
        }
        if (failure != null) {
            throw failure;
        }
    }
}
