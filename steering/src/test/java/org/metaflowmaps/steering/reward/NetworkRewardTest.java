package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.checkpoint.StrictJson;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.vision.ImageReward;
import org.metaflowmaps.models.vision.TinyNetworks;
import org.metaflowmaps.models.vision.text.BertTokenizer;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.steering.GaussianMap;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;

/** Rewards by published networks, with small ones of random weights. */
final class NetworkRewardTest {
    @TempDir
    private static Path folder;

    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    static Prompt prompt(String... texts) {
        return texts.length == 1 ? Prompt.of(texts[0]) : new Prompt("{}", List.of(texts), Set.of());
    }

    private static RewardContext context(Path folder, Prompt prompt, Path tokenizer) throws IOException {
        return new RewardContext(
                Device.CPU,
                Optional.empty(),
                Optional.empty(),
                0,
                Optional.of(new TextInputs(
                        prompt, Optional.of(tokenizer), Optional.of(TinyNetworks.bertVocabulary(folder)))));
    }

    /** Opens a reward with small networks, whose files are written to a folder. */
    static Reward open(Path folder, String fixture, String kind, String settings, Prompt prompt) throws IOException {
        if (kind.equals("imagereward")) {
            ImageReward network = ImageReward.load(
                    TinyNetworks.weights(folder, fixture),
                    new ImageReward.Heads(3, 2),
                    settings.contains("bfloat16")
                            ? DType.BFLOAT16
                            : settings.contains("float64") ? DType.FLOAT64 : DType.FLOAT32,
                    Device.CPU);
            return NetworkReward.ofImageReward(
                    settings.contains("official")
                            ? new NetworkReward.Options(ImageScore.IMAGEREWARD, ImageScore.Preprocessing.OFFICIAL, true)
                            : NetworkReward.Options.of(ImageScore.IMAGEREWARD),
                    network,
                    "tiny",
                    BertTokenizer.open(TinyNetworks.bertVocabulary(folder), BertTokenizer.CONTEXT),
                    prompt);
        }
        Path tokenizer = kind.equals("hpsv2") ? TinyNetworks.merges(folder) : TinyNetworks.tokenizer(folder);
        return RewardSpec.parse(kind + ":" + TinyNetworks.weights(folder, fixture) + settings)
                .open(context(folder, prompt, tokenizer));
    }

    /** From a text and an image to the public libraries' score and gradient. */
    @ParameterizedTest
    @CsvSource({
        "hps,           hpsv2,      score_landscape,                ''",
        "hps,           hpsv2,      score_no_resize,                ''",
        "hps,           hpsv2,      score_portrait_not_antialiased, ',antialias=false'",
        "hps,           hpsv2,      score_upscaled,                 ',preprocessing=imscore'",
        "pickscore,     pickscore,  mfm,                            ''",
        "pickscore,     pickscore,  imscore,                        ',preprocessing=imscore'",
        "pickscore,     pickscore,  imscore_not_antialiased,        ',preprocessing=imscore,antialias=false'",
        "pickscore,     pickscore,  official,                       ',preprocessing=official'",
        "imagereward,   imagereward, score,                         ''",
        "imagereward,   imagereward, score_upscaled,                ''",
        "imagereward,   imagereward, official,                      ',preprocessing=official'",
        "aesthetic,     aesthetic,  score,                          ''",
    })
    void scoresAreThoseOfThePublicLibraries(String fixture, String kind, String name, String settings)
            throws IOException {
        try (TensorFile file = TensorFile.open(TinyNetworks.reference(folder, fixture + ".safetensors"));
                TensorScope scope = TensorScope.open()) {
            String[] texts = StrictJson.object(
                            Objects.requireNonNull(file.metadata().get("case/" + name)))
                    .path("texts")
                    .valueStream()
                    .map(text -> text.asString())
                    .toArray(String[]::new);
            Tensor stored = file.view("case/" + name + "/in/images");
            Tensor images = stored.to(DType.FLOAT64).div(stored.dtype() == DType.UINT8 ? 255 : 1);
            Condition labels = Condition.labelled(Torch.arange(images.size(0)));
            try (Reward reward = open(
                    folder,
                    fixture,
                    kind,
                    settings + ",precision=float64",
                    kind.equals("aesthetic") ? prompt("") : prompt(texts))) {
                Tensor input = images.clone().requiresGrad_(true);
                Tensor score = reward.score(input, labels);
                assertClose(file.view("case/" + name + "/out/score"), score.detach(), 1e-9, "score");
                assertEquals(!name.equals("official"), reward.isDifferentiable());
                if (reward.isDifferentiable()) {
                    assertClose(
                            file.view("case/" + name + "/out/gradient"),
                            Autograd.gradients(score.sum(), List.of(input)).getFirst(),
                            1e-9,
                            "gradient");
                    RewardProbe.check(reward, images, labels);
                }
            }
        }
    }

    /** With the tokenizer of transformers, MFM's CLIP score; negative cosines are 0. */
    @Test
    void theClipScoreIsACosineAboveZero() throws IOException {
        try (TensorFile file = TensorFile.open(TinyNetworks.reference(folder, "clip-hf-quickgelu.safetensors"));
                TensorScope scope = TensorScope.open()) {
            String[] texts = StrictJson.object(
                            Objects.requireNonNull(file.metadata().get("case/text")))
                    .path("texts")
                    .valueStream()
                    .map(text -> text.asString())
                    .toArray(String[]::new);
            try (Reward reward = open(folder, "clip-hf-quickgelu", "clip", ",precision=float64", prompt(texts))) {
                Tensor images = file.view("case/clip_score/in/images").to(DType.FLOAT64);
                Tensor score = reward.score(images, Condition.labelled(Torch.arange(2)));
                assertClose(file.view("case/clip_score/out/score"), score, 1e-9, "score");
                assertTrue(score.min().item() >= 0);
            }
        }
    }

    static Stream<String> kinds() {
        return Stream.of("hps hpsv2", "pickscore pickscore", "imagereward imagereward", "aesthetic aesthetic");
    }

    /** The probe checks the shape, equal calls, gradients, and that a batch does not matter. */
    @ParameterizedTest
    @MethodSource("kinds")
    void allPrecisionsPassTheProbe(String kind) throws IOException {
        String[] names = kind.split(" ", -1);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor images = random.uniform(2, 3, 32, 32);
            Tensor grey = images.narrow(1, 0, 1);
            double[][] found = new double[3][];
            for (int i = 0; i < 2; i++) {
                String precision = i == 0 ? ",precision=float32" : ",precision=bfloat16";
                try (Reward reward = open(folder, names[0], names[1], precision, prompt("a photo of a cat"))) {
                    RewardProbe.check(reward, images, Condition.none());
                    RewardProbe.check(reward, grey, Condition.none());
                    found[i] = Samples.scores(reward, images);
                    if (i == 0) {
                        try (Autocast mixed = Autocast.bfloat16(Device.Type.CPU)) {
                            RewardProbe.check(reward, images, Condition.none());
                            found[2] = Samples.scores(reward, images);
                        }
                    }
                    assertTrue(reward.description().contains(i == 0 ? "float32" : "bfloat16"), reward.description());
                    assertTrue(reward.description().contains("antialiased"), reward.description());
                }
            }
            double scale = names[1].equals("pickscore") ? 100 : 1;
            double bound = 0.05 * scale * Math.max(1, Math.abs(found[0][0]) / scale);
            assertArrayEquals(found[0], found[1], bound);
            assertArrayEquals(found[0], found[2], bound);
        }
    }

    @Test
    void aTextPerClassIsChosenByTheLabel() throws IOException {
        List<String> names = List.of("cat", "dog", "cat");
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2);
                Reward all = open(folder, "hps", "hpsv2", "", new Prompt("a photo of a {}", names, Set.of()));
                Reward some = open(folder, "hps", "hpsv2", "", new Prompt("a photo of a {}", names, Set.of(1)));
                Reward dog = open(folder, "hps", "hpsv2", "", prompt("a photo of a dog"))) {
            Tensor image = random.uniform(1, 3, 24, 24);
            Tensor four = image.expand(4, -1, -1, -1);
            double[] scores = all.score(four, Condition.labelled(Torch.of(new long[] {0, 1, 2, 3})))
                    .toDoubleArray();
            assertEquals(scores[0], scores[2], 1e-7);
            assertFalse(Math.abs(scores[0] - scores[1]) < 1e-4);
            assertEquals(Samples.scores(dog, image)[0], scores[1], 1e-6);
            // 3 is "no label", which has no text.
            assertTrue(Double.isNaN(scores[3]));
            assertTrue(all.diagnosis().contains("has no text"), all.diagnosis());
            double[] few = some.score(four, Condition.labelled(Torch.of(new long[] {0, 1, 2, 1})))
                    .toDoubleArray();
            assertTrue(Double.isNaN(few[0]) && Double.isNaN(few[2]));
            assertEquals(scores[1], few[3], 1e-6);
            assertRefused(() -> all.score(four, Condition.none()), "have no labels");
        }
        assertRefused(() -> Prompt.of("a {}"), "no names of classes");
        assertRefused(() -> new Prompt("a {}", names, Set.of(3)), "expected 0 to 2");
        assertRefused(() -> new Prompt("a {}", List.of(), Set.of()), "no names of classes");
    }

    @Test
    void officialPreprocessingHasNoGradient() throws IOException {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4);
                Reward official = open(folder, "hps", "hpsv2", ",preprocessing=official", prompt("a photo of a cat"));
                Reward plain = open(folder, "hps", "hpsv2", "", prompt("a photo of a cat"))) {
            Tensor images = random.uniform(2, 3, 24, 24);
            assertFalse(
                    official.score(images.requiresGrad_(true), Condition.none()).requiresGrad());
            // The same up to half a level of 255.
            assertArrayEquals(Samples.scores(plain, images), Samples.scores(official, images), 5e-3);
            RewardProbe.check(official, images, Condition.none());
            try (GaussianMap map = new GaussianMap()) {
                assertRefused(
                        () -> new PosteriorMeanGradient(
                                new NetworkDrift(map), new Tilt(official, new PixelDecoder(), 1), Coefficient.PAPER),
                        "preprocessing=official",
                        "no gradients");
            }
        }
    }

    @Test
    void wrongTextsAreRefused() throws IOException {
        String file = TinyNetworks.weights(folder, "hps").toString();
        assertRefused(() -> RewardSpec.parse("hpsv2"), "FILE", "preprocessing=NAME");
        assertRefused(() -> RewardSpec.parse("hpsv2:,antialias=true"), "FILE is empty");
        assertRefused(() -> RewardSpec.parse("hpsv2:a.pt,preprocessing=mfm"), "[official, imscore]");
        assertRefused(() -> RewardSpec.parse("clip:a.pt,antialias=false"), "no choice of antialiasing");
        assertRefused(() -> RewardSpec.parse("hpsv2:a.pt,antialias=no"), "true or false");
        assertRefused(() -> RewardSpec.parse("hpsv2:a.pt,precision=float16"), "bfloat16");
        assertRefused(() -> RewardSpec.parse("hpsv2:a.pt,precison=bfloat16"), "precison", "'precision'");
        assertRefused(() -> RewardSpec.parse("hpsv2:a.pt,head=b.pt"), "head is not known");
        assertRefused(() -> RewardSpec.parse("hpsv2:a.pt,antialias=true,antialias=true"), "twice");
        RewardSpec spec = RewardSpec.parse("hpsv2:" + file);
        assertTrue(spec.needs(RewardSpec.Input.TEXT));
        assertFalse(RewardSpec.parse("aesthetic:a,b.pt").needs(RewardSpec.Input.TEXT));
        assertRefused(() -> spec.open(RewardContext.of(Device.CPU)), "needs a prompt");
        TextInputs none = new TextInputs(Prompt.of("a cat"), Optional.empty(), Optional.empty());
        RewardContext without = new RewardContext(Device.CPU, Optional.empty(), Optional.empty(), 0, Optional.of(none));
        assertRefused(() -> spec.open(without), "needs CLIP's tokenizer", "vocab.json");
        assertRefused(() -> RewardSpec.parse("imagereward:" + file).open(without), "vocabulary of BERT");
        try (TensorScope scope = TensorScope.open();
                Reward reward = open(folder, "hps", "hpsv2", "", prompt("a cat"))) {
            assertRefused(() -> reward.score(Torch.zeros(1, 4, 8, 8), Condition.none()), "3 channels");
            assertTrue(reward.description().contains("'a cat'"), reward.description());
        }
    }
}
