package org.metaflowmaps.benchmarks;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.loss.Weighting;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.Clipping;

/**
 * Writes a network's weights, all random numbers of the work of {@link CpuSpeed}, and its results to a safetensors file,
 * so that {@code benchmarks/python/check.py} can compare PyTorch's results with them.
 */
public final class SpeedReference {
    private static final double LEARNING_RATE = 1e-4;

    private final MetaFlowMap map;
    private final RandomSource random;
    private final Shape items;
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();

    private SpeedReference(MetaFlowMap map, RandomSource random, int batch) {
        this.map = map;
        this.random = random;
        this.items = map.itemShape().prepend(batch);
    }

    /**
     * Writes the file.
     *
     * @param arguments size (tiny, s2, b2), items per batch, file
     * @throws IOException if the file cannot be written
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 3) {
            throw new IllegalArgumentException("expected: tiny|s2|b2 BATCH FILE");
        }
        CpuSpeed.Size size = CpuSpeed.Size.named(arguments[0]);
        try (RandomSource random = RandomSource.seeded(1);
                MetaFlowMap map = FlowMapTransformer.initialised(size.network(), Device.CPU, random);
                TensorScope scope = TensorScope.open()) {
            SpeedReference reference = new SpeedReference(map, random, Integer.parseInt(arguments[1]));
            reference.weights();
            Tensor data = reference.put("items", random.normal(reference.items));
            Context context = reference.context(data);
            reference.draw(context);
            reference.steer(context.condition());
            reference.train(data, context);
            Safetensors.write(Path.of(arguments[2]), Map.of("size", arguments[0]), reference.tensors);
        }
    }

    private Tensor put(String name, Tensor tensor) {
        tensors.put(name, tensor);
        return tensor;
    }

    private void weights() {
        try (Autograd.Mode off = Autograd.noGrad()) {
            // A new network has velocity 0, which would hide most differences.
            Tensor values = map.parameters().values();
            values.add_(random.normal(values.shape()).mul(0.02));
            // A copy, because training changes them.
            map.parameters().parameters().forEach((name, weight) -> put("model." + name, weight.clone()));
            map.buffers().forEach((name, buffer) -> put("model." + name, buffer));
        }
    }

    private Context context(Tensor data) {
        long batch = items.size(0);
        Tensor labels = put("labels", random.integers(0, map.classes() + 1L, batch));
        Tensor time = put("context.time", random.uniform(batch).square());
        Tensor state = put("context.state", LinearInterpolant.state(random.normal(items), data, time));
        return new Context(time, state, Condition.labelled(labels));
    }

    private void draw(Context context) {
        try (Autograd.Mode off = Autograd.inference()) {
            Tensor noise = put("draw.noise", random.normal(items));
            put(
                    "draw.samples",
                    new PosteriorSampler(map, 1)
                            .sample(Noise.of(noise), context)
                            .samples());
        }
    }

    private void steer(Condition condition) {
        try (MetaFlowMap frozen = map.frozen()) {
            int rows = (int) items.size(0);
            SteeringNoise noise = KeyedNoise.of(1, 0, rows, 1, map.itemShape(), Device.CPU);
            put("steer.start", noise.normal(SteeringNoise.Use.START, 0));
            for (int step = 0; step < CpuSpeed.STEPS; step++) {
                put("steer.noise." + step, noise.normal(SteeringNoise.Use.DRAW, step, 0, CpuSpeed.DRAWS));
            }
            put(
                    "steer.samples",
                    CpuSpeed.sampler(frozen).sample(noise, condition).samples());
        }
    }

    /** Takes one step with both losses, and computes the first one again. */
    private void train(Tensor data, Context context) {
        long batch = items.size(0);
        Tensor point = put("diagonal.start", random.uniform(batch));
        Pair diagonal = new Pair(point, point, null, put("diagonal.noise", random.normal(items)), data, context);
        Tensor one = random.uniform(batch);
        Tensor other = random.uniform(batch);
        Pair jump = new Pair(
                put("jump.start", one.minimum(other)),
                put("jump.end", one.maximum(other)),
                null,
                put("jump.noise", random.normal(items)),
                data,
                context);
        Consistency consistency = new Eulerian(new Velocity.Data());
        Weighting weighting = new Weighting.L2();
        ParameterArena arena = map.parameters();
        arena.gradients().zero_();
        Tensor first = weighting
                .apply(Diagonal.of(map, diagonal, new Velocity.Data()), diagonal)
                .loss();
        Autograd.backward(first);
        put("diagonal.loss", first.detach());
        put("diagonal.gradient_norm", arena.gradients().norm());
        Tensor second = weighting.apply(consistency.of(map, jump), jump).loss();
        Autograd.backward(second);
        put("consistency.loss", second.detach());
        put("gradient_norm", Clipping.clip(arena, 1));
        try (AdamW optimizer = new AdamW(arena, 0.9, 0.999, 1e-8, 0);
                Autograd.Mode off = Autograd.noGrad()) {
            optimizer.step(LEARNING_RATE);
            put(
                    "diagonal.loss_after",
                    weighting
                            .apply(Diagonal.of(map, diagonal, new Velocity.Data()), diagonal)
                            .loss());
        }
    }
}
