package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** The reference cases of {@link TinyAutoencoder}. */
final class TinyAutoencoderCases implements ReferenceCases {
    private final ReferenceFile file;
    private final TinyAutoencoder network;

    TinyAutoencoderCases(ReferenceFile file) throws IOException {
        this.file = file;
        this.network = file.opened(TinyAutoencoder.read(file.file(), file.type(), file.device()));
    }

    @Override
    public @Nullable Map<String, Tensor> compute(ReferenceFile.Case test) throws IOException {
        if (test.name().equals("encode")) {
            return Map.of("latents", network.encode(test.in("pixels")));
        }
        if (!test.name().equals("decode")) {
            return null;
        }
        Tensor latents = test.in("latents");
        Tensor cotangent = test.in("cotangent");
        Tensor decoded = network.decode(latents);
        return ReferenceCases.differentiated(
                latents,
                "value",
                z -> ReferenceCases.weighted(network.decode(z), cotangent),
                Map.of("decoded", decoded, "decoded01", decoded.add(1).div(2)));
    }

    /** The original files come in pairs. */
    @Override
    public Network other(String name) throws IOException {
        Path folder = file.folder();
        return TinyAutoencoder.load(
                folder.resolve(name.replace("decoder", "encoder")),
                folder.resolve(name.replace("encoder", "decoder")),
                file.type(),
                file.device());
    }

    @Override
    public ParameterArena own(Network other) {
        return network.parameters();
    }
}
