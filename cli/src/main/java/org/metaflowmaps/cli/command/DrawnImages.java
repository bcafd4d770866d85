package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Decoder;
import org.metaflowmaps.steering.reward.LatentDecoder;
import org.metaflowmaps.steering.reward.PixelDecoder;

/**
 * Samples of a map, drawn when they are read. Each part of {@link FeatureStore#PART} samples has its own noise, so that
 * parts can be passed over.
 */
final class DrawnImages implements ImageSource {
    /** 2^64 divided by the golden ratio. */
    private static final long STRIDE = 0x9e3779b97f4a7c15L;

    private final MetaFlowMap map;
    private final Sampler<Condition> sampler;
    private final MapSamples samples;
    private final DrawingOptions.Labels order;
    private final Quantisation quantisation;
    private final @Nullable LatentDecoder latents;
    private final String name;
    private final String identity;
    private int at;
    private @Nullable Tensor part;

    /**
     * Makes a source.
     *
     * @param map closed with this source
     * @param samples number, labels, guidance and seed
     * @param order of the labels
     * @param latents decodes the map's items, closed with this source; null for a map of images of 1 or 3 channels
     * @param name for people
     * @param identity differs for other maps and settings
     */
    DrawnImages(
            MetaFlowMap map,
            Sampler<Condition> sampler,
            MapSamples samples,
            DrawingOptions.Labels order,
            Quantisation quantisation,
            @Nullable LatentDecoder latents,
            String name,
            String identity) {
        this.map = map;
        this.sampler = sampler;
        this.samples = samples;
        this.order = order;
        this.quantisation = quantisation;
        this.latents = latents;
        this.name = name;
        this.identity = identity;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String identity() {
        return identity;
    }

    @Override
    public String quantisation() {
        return quantisation.formula() + (map.itemShape().size(0) == 1 ? ", grey repeated" : "");
    }

    @Override
    public List<String> notes() {
        return List.of();
    }

    @Override
    public long count() {
        return samples.count();
    }

    @Override
    public List<Tensor> next(int most) throws IOException {
        int within = at % FeatureStore.PART;
        Tensor drawn = part;
        if (drawn == null) {
            if (within != 0) {
                throw new IllegalStateException("sample " + at + " is within a part that was passed over");
            }
            drawn = draw(at, Math.min(FeatureStore.PART, samples.count() - at));
            part = drawn;
        }
        int size = Math.min(most, Math.toIntExact(drawn.size(0)) - within);
        at += size;
        try (TensorScope scope = TensorScope.open()) {
            Tensor next = scope.keep(drawn.narrow(0, within, size).clone());
            if (within + size == drawn.size(0)) {
                close(drawn);
            }
            return List.of(next);
        }
    }

    private void close(Tensor drawn) {
        drawn.close();
        part = null;
    }

    /** Returns samples uint8 (size, 3, height, width) that the caller closes. */
    private Tensor draw(int from, int size) {
        long seed = samples.seed() + STRIDE * (from / FeatureStore.PART);
        long[] labels = labels(from, size, seed);
        List<Tensor> parts = new ArrayList<>();
        Decoder decoder = latents == null ? new PixelDecoder() : latents;
        try (TensorScope scope = TensorScope.open()) {
            new MapSamples(size, labels, samples.scale(), seed, samples.device())
                    .draw(map, sampler, (drawn, condition, classes) -> {
                        Tensor levels = SampleArchive.levels(drawn, decoder, quantisation)
                                .to(Device.CPU);
                        Tensor colours = levels.size(1) == 1 ? levels.repeat(1, 3, 1, 1) : levels.clone();
                        parts.add(colours.retain());
                    });
            return Torch.cat(0, parts.toArray(Tensor[]::new)).retain();
        } finally {
            parts.forEach(Tensor::close);
        }
    }

    /** Returns the labels of a part. */
    private long[] labels(int from, int size, long seed) {
        long[] all = samples.labels();
        long[] labels = new long[size];
        SplittableRandom random = new SplittableRandom(seed);
        Arrays.setAll(
                labels,
                i -> all[order == DrawingOptions.Labels.turn ? (from + i) % all.length : random.nextInt(all.length)]);
        return labels;
    }

    @Override
    public void skip(int images) {
        at += images;
    }

    @Override
    public void close() {
        if (part != null) {
            close(part);
        }
        if (latents != null) {
            latents.close();
        }
        map.close();
    }
}
