package org.metaflowmaps.cli;

import java.util.List;
import java.util.function.UnaryOperator;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.training.GraphObjective;
import org.metaflowmaps.training.Loss;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.LossValue;

/**
 * The sum of the squares of all parameters, for any data.
 *
 * @param arena not owned
 */
record MisuseObjective(ParameterArena arena) implements GraphObjective<Object> {
    @Override
    public Object draw(TrainingData.Batch batch, long step) {
        return batch;
    }

    @Override
    public List<Loss> losses(Object draw) {
        return List.of(new Loss("squares", () -> {
            Tensor loss = arena.parameters().values().iterator().next().square().sum();
            return new LossValue(loss, loss.detach());
        }));
    }

    @Override
    public Object map(Object draw, UnaryOperator<Tensor> change) {
        return draw;
    }

    @Override
    public Object phase(Object draw) {
        return "squares";
    }

    @Override
    public List<ParameterArena> parameters() {
        return List.of(arena);
    }

    @Override
    public void close() {
        // The case closes the arena.
    }
}
