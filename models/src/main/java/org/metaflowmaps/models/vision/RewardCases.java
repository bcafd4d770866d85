package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import tools.jackson.databind.JsonNode;

/** The reference cases of {@link ImageReward}, {@link AestheticHead} and {@link FidInception}. */
final class RewardCases {
    private RewardCases() {}

    /** ImageReward's. */
    static final class Preferences implements ReferenceCases {
        private final ReferenceFile file;
        private final ImageReward.Heads heads;
        private final ImageReward network;

        Preferences(ReferenceFile file) throws IOException {
            this.file = file;
            JsonNode config = file.config();
            this.heads = new ImageReward.Heads(
                    config.path("v_heads").asLong(), config.path("t_heads").asLong());
            this.network = file.opened(ImageReward.read(file.file(), heads, file.type(), file.device()));
        }

        @Override
        public @Nullable Map<String, Tensor> compute(ReferenceFile.Case test) throws IOException {
            if (test.name().startsWith("score") || test.name().equals("official")) {
                return scored(test);
            }
            if (!test.name().equals("network")) {
                return null;
            }
            Tensor pixels = test.in("pixel_values");
            Tensor ids = test.in("input_ids");
            Tensor mask = test.in("attention_mask");
            Tensor tokens = network.imageTokens(pixels);
            return ReferenceCases.differentiated(
                    pixels,
                    "score",
                    x -> network.score(x, ids, mask),
                    Map.of("image_tokens", tokens, "text_states", network.textStates(ids, mask, tokens)));
        }

        private Map<String, Tensor> scored(ReferenceFile.Case test) throws IOException {
            long side = network.imageSide();
            Tensor ids = test.in("input_ids");
            Tensor mask = test.in("attention_mask");
            if (test.name().equals("official")) {
                Tensor resized = ClipImages.pillow(test.stored("images"), side, false);
                Tensor pixels = ImageLayers.clipNormalised(
                        resized.to(file.device()).to(file.type()).div(255));
                return Map.of("resized", resized, "score", network.score(pixels, ids, mask));
            }
            boolean antialiased = test.numbers().path("antialias").asBoolean(true);
            Tensor images = test.in("images");
            return ReferenceCases.differentiated(
                    images,
                    "score",
                    x -> network.score(ClipImages.cropped(x, side, antialiased), ids, mask),
                    Map.of("preprocessed", ClipImages.cropped(images, side, antialiased)));
        }

        @Override
        public Network other(String name) throws IOException {
            return ImageReward.load(file.folder().resolve(name), heads, file.type(), file.device());
        }

        @Override
        public ParameterArena own(Network other) {
            return network.parameters();
        }
    }

    /** The aesthetic predictor's. */
    static final class Aesthetics implements ReferenceCases {
        private final ReferenceFile file;
        private final AestheticHead head;
        private final ClipImageTower tower;

        Aesthetics(ReferenceFile file) throws IOException {
            this.file = file;
            JsonNode config = file.config();
            ClipSettings settings = new ClipSettings(
                    Activation.named(config.path("hidden_act").asString("quick_gelu")),
                    config.path("num_attention_heads").asLong(),
                    1,
                    ClipSettings.LARGEST_ID,
                    config.path("layer_norm_eps").asDouble(1e-5));
            this.tower = file.opened(ClipImageTower.read(file.file(), settings, file.type(), file.device()));
            this.head = file.opened(AestheticHead.read(file.file(), file.type(), file.device()));
        }

        @Override
        public @Nullable Map<String, Tensor> compute(ReferenceFile.Case test) throws IOException {
            if (test.name().equals("head")) {
                return Map.of("score", head.score(test.in("features")));
            }
            if (!test.name().startsWith("score")) {
                return null;
            }
            boolean antialiased = test.numbers().path("antialias").asBoolean(true);
            return ReferenceCases.differentiated(
                    test.in("images"),
                    "score",
                    x -> head.score(tower.features(ClipImages.cropped(x, tower.imageSide(), antialiased))),
                    Map.of());
        }

        @Override
        public Network other(String name) throws IOException {
            return AestheticHead.load(file.folder().resolve(name), file.type(), file.device());
        }

        @Override
        public ParameterArena own(Network other) {
            return head.parameters();
        }
    }

    /** FID's. */
    static final class Fid implements ReferenceCases {
        /** The part of the prepared image that the reference contains. */
        private static final long[] CROP = {100, 287, 12};

        private final ReferenceFile file;
        private final FidInception network;

        Fid(ReferenceFile file) throws IOException {
            this.file = file;
            this.network = file.opened(FidInception.read(file.file(), file.type(), file.device()));
        }

        @Override
        public @Nullable Map<String, Tensor> compute(ReferenceFile.Case test) throws IOException {
            String block = test.numbers().path("block").asString("");
            if (!block.isEmpty()) {
                return Map.of("result", network.block(block, test.in("input")));
            }
            Map<String, Tensor> outputs = new LinkedHashMap<>();
            switch (test.name()) {
                case "graph" ->
                    network.stages(test.in("input"))
                            .forEach((name, stage) -> outputs.put(name.replace("Mixed", "mixed"), stage));
                case "pytorch_fid" ->
                    outputs.put(
                            "pool3",
                            network.features(test.in("images"), InceptionInput.PYTORCH_FID)
                                    .pool());
                case "tensorflow" -> {
                    Tensor images = test.in("images");
                    FidInception.Features features = network.features(images, InceptionInput.TENSORFLOW);
                    outputs.put("pool3", features.pool());
                    outputs.put("sfid", features.spatial());
                    outputs.put("logits", network.logits(features.pool(), true));
                    outputs.put("logits_unbiased", network.logits(features.pool(), false));
                    outputs.put(
                            "network_input_crop",
                            InceptionInput.TENSORFLOW
                                    .prepare(images, file.type())
                                    .narrow(2, CROP[0], CROP[2])
                                    .narrow(3, CROP[1], CROP[2]));
                }
                default -> {
                    return null;
                }
            }
            return outputs;
        }

        @Override
        public Network other(String name) throws IOException {
            return FidInception.load(file.folder().resolve(name), file.type(), file.device());
        }

        @Override
        public ParameterArena own(Network other) {
            return network.parameters();
        }
    }
}
