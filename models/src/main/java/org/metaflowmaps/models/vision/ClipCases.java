package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** The reference cases of {@link Clip}, HPS v2 and PickScore. */
final class ClipCases implements ReferenceCases {
    private final ReferenceFile file;
    private final ClipSettings settings;
    private final Clip network;
    /** The names of outputs: Hugging Face's, or open_clip's. */
    private final String end;

    ClipCases(ReferenceFile file) throws IOException {
        this.file = file;
        this.settings = ClipSettings.of(file.text("config"));
        this.end = file.config().path("vision_cfg").isObject() ? "_features" : "_embeds";
        this.network = file.opened(Clip.read(file.file(), settings, file.type(), file.device()));
    }

    @Override
    public @Nullable Map<String, Tensor> compute(ReferenceFile.Case test) throws IOException {
        String name = test.name();
        if (name.equals("image")) {
            return features("image", network.imageFeatures(pixels(test)));
        }
        if (name.startsWith("text")) {
            return features("text", text(test));
        }
        if (name.equals("logits")) {
            Tensor logits = network.logits(network.imageFeatures(pixels(test)), text(test));
            return Map.of("logits_per_image", logits, "logits_per_text", logits.transpose(0, 1));
        }
        Tensor text = text(test);
        if (name.equals("cosine_gradient")) {
            return ReferenceCases.differentiated(
                    pixels(test), "cosine", x -> Clip.cosine(network.imageFeatures(x), text), Map.of());
        }
        return file.kind().equals("pickscore") && name.equals("official")
                ? official(test, text)
                : test.has("images") ? scored(test, text) : null;
    }

    /** The scores of images that are resized. */
    private Map<String, Tensor> scored(ReferenceFile.Case test, Tensor text) throws IOException {
        long side = network.imageSide();
        boolean antialiased = test.numbers().path("antialias").asBoolean(true);
        boolean clipScore = file.kind().equals("clip_hf");
        boolean picked = file.kind().equals("pickscore");
        UnaryOperator<Tensor> prepare = clipScore || test.name().equals("mfm")
                ? x -> ClipImages.rounded(x, side)
                : picked ? x -> ClipImages.cropped(x, side, antialiased) : x -> ClipImages.padded(x, side, antialiased);
        Tensor images = test.in("images");
        Tensor prepared = prepare.apply(images);
        Tensor found = network.imageFeatures(prepared);
        Map<String, Tensor> outputs = new LinkedHashMap<>();
        outputs.put("preprocessed", prepared);
        outputs.put("image_features_unit", Clip.unit(found));
        outputs.put("cosine", Clip.cosine(found, text));
        return ReferenceCases.differentiated(
                images,
                "score",
                x -> {
                    Tensor cosine = Clip.cosine(network.imageFeatures(prepare.apply(x)), text);
                    return picked ? cosine.mul(network.logitScale()) : clipScore ? cosine.clampMin(0) : cosine;
                },
                outputs);
    }

    private Map<String, Tensor> official(ReferenceFile.Case test, Tensor text) throws IOException {
        Tensor resized = ClipImages.pillow(test.stored("images"), network.imageSide(), true);
        Tensor pixels = ImageLayers.clipNormalised(
                resized.to(file.device()).to(file.type()).div(255));
        return Map.of(
                "resized",
                resized,
                "score",
                Clip.cosine(network.imageFeatures(pixels), text).mul(network.logitScale()));
    }

    private Map<String, Tensor> features(String tower, Tensor features) {
        Map<String, Tensor> outputs = new LinkedHashMap<>();
        outputs.put(tower + end, features);
        outputs.put(tower + end + "_unit", Clip.unit(features));
        return outputs;
    }

    private static Tensor pixels(ReferenceFile.Case test) throws IOException {
        return test.in(test.has("image") ? "image" : "pixel_values");
    }

    /** Returns the features of a case's texts, with its own end token if it states one. */
    private Tensor text(ReferenceFile.Case test) throws IOException {
        Tensor ids = test.in(test.has("text") ? "text" : "input_ids");
        if (!test.numbers().path("eos_token_id").isIntegralNumber()) {
            return network.textFeatures(ids);
        }
        long token = test.numbers().path("eos_token_id").asLong();
        return file.opened(Clip.read(file.file(), settings.withEndToken(token), file.type(), file.device()))
                .textFeatures(ids);
    }

    @Override
    public Network other(String name) throws IOException {
        return Clip.load(file.folder().resolve(name), settings, file.type(), file.device());
    }

    @Override
    public ParameterArena own(Network other) {
        return network.parameters();
    }

    @Override
    public double scoreScale() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            return Math.max(1, network.logitScale().item());
        }
    }
}
