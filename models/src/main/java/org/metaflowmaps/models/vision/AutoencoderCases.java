package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** The reference cases of {@link AutoencoderKL}. */
final class AutoencoderCases implements ReferenceCases {
    private final ReferenceFile file;
    private final AutoencoderSettings settings;
    private final AutoencoderKL network;

    AutoencoderCases(ReferenceFile file) throws IOException {
        this.file = file;
        this.settings = AutoencoderSettings.of(file.text("config"));
        this.network = file.opened(AutoencoderKL.read(file.file(), settings, file.type(), file.device()));
    }

    @Override
    public @Nullable Map<String, Tensor> compute(ReferenceFile.Case test) throws IOException {
        return switch (test.name()) {
            case "encode" -> {
                Tensor moments = network.moments(test.in("pixels"));
                Map<String, Tensor> outputs = posterior(moments, test.in("eps"));
                outputs.put("moments", moments);
                outputs.put("scaled", scale(test).scaled(Objects.requireNonNull(outputs.get("sample"))));
                yield outputs;
            }
            case "posterior" -> posterior(test.in("moments"), test.in("eps"));
            case "decode" -> Map.of("decoded", network.decode(test.in("latents")));
            case "decode_gradient" -> {
                Tensor cotangent = test.in("cotangent");
                yield ReferenceCases.differentiated(
                        test.in("latents"),
                        "value",
                        z -> ReferenceCases.weighted(network.decode(z), cotangent),
                        Map.of());
            }
            case "decode_scaled_clamped" -> {
                AutoencoderKL scaled = scale(test);
                Tensor cotangent = test.in("cotangent");
                Map<String, Tensor> outputs = new LinkedHashMap<>();
                yield ReferenceCases.differentiated(
                        test.in("latents"),
                        "value",
                        z -> {
                            Tensor raw = scaled.decode(scaled.unscaled(z));
                            Tensor pixels = raw.add(1).div(2).clampMin(0).clampMax(1);
                            outputs.put("raw", raw.detach());
                            outputs.put("pixels", pixels.detach());
                            return ReferenceCases.weighted(pixels, cotangent);
                        },
                        outputs);
            }
            case "mid_attention" -> {
                Tensor cotangent = test.in("cotangent");
                Tensor features = test.in("features");
                yield ReferenceCases.differentiated(
                        features,
                        "value",
                        x -> ReferenceCases.weighted(network.decoderAttention(x), cotangent),
                        Map.of("result", network.decoderAttention(features)));
            }
            case "to_uint8" -> {
                Tensor decoded = test.stored("decoded");
                yield Map.of(
                        "rounded",
                        decoded.mul(127.5).add(128).clampMin(0).clampMax(255).to(DType.UINT8),
                        "truncated",
                        decoded.add(1).div(2).clampMin(0).clampMax(1).mul(255).to(DType.UINT8));
            }
            default -> null;
        };
    }

    private static Map<String, Tensor> posterior(Tensor moments, Tensor noise) {
        Posterior posterior = Posterior.of(moments);
        Map<String, Tensor> outputs = new LinkedHashMap<>();
        outputs.put("mean", posterior.mean());
        outputs.put("mode", posterior.mean());
        outputs.put("logvar", posterior.logVariance());
        outputs.put("std", posterior.std());
        outputs.put("var", posterior.variance());
        outputs.put("sample", posterior.sample(noise));
        outputs.put("kl", posterior.divergence());
        return outputs;
    }

    /** The network with the scale that a case states. */
    private AutoencoderKL scale(ReferenceFile.Case test) throws IOException {
        return file.opened(AutoencoderKL.read(
                file.file(),
                new AutoencoderSettings(
                        settings.groups(),
                        test.numbers().path("scale").asDouble(settings.scale()),
                        settings.shift(),
                        settings.quantConvolutions()),
                file.type(),
                file.device()));
    }

    @Override
    public Network other(String name) throws IOException {
        return AutoencoderKL.load(file.folder().resolve(name), settings, file.type(), file.device());
    }

    @Override
    public ParameterArena own(Network other) {
        return network.parameters();
    }
}
