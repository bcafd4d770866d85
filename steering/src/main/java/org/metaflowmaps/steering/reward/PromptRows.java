package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * A prompt's texts as a network reads them, computed once for a run and selected by label on the device. Classes that
 * were not wanted, and images without a class, get NaN, or 0 of whole numbers.
 */
final class PromptRows implements AutoCloseable {
    private static final int AT_ONCE = 64;

    private final Prompt prompt;
    private final List<Tensor> tables;

    /** Computes what a network reads. */
    @FunctionalInterface
    interface Encoder {
        /** Returns tensors with one row for each text, on the network's device. */
        List<Tensor> encode(List<String> texts);
    }

    private PromptRows(Prompt prompt, List<Tensor> tables) {
        this.prompt = prompt;
        this.tables = tables;
    }

    /** Encodes every text once, also if several classes have the same. */
    static PromptRows of(Prompt prompt, Device device, Encoder encoder) {
        Map<String, Integer> texts = new LinkedHashMap<>();
        int classes = prompt.isPerClass() ? prompt.classNames().size() : 1;
        // One more for "no label".
        long[] rows = new long[prompt.isPerClass() ? classes + 1 : 1];
        for (int label = 0; label < classes; label++) {
            if (!prompt.isPerClass() || prompt.has(label)) {
                Integer before = texts.putIfAbsent(prompt.text(label), texts.size());
                rows[label] = before == null ? texts.size() - 1 : before;
            } else {
                rows[label] = -1;
            }
        }
        if (prompt.isPerClass()) {
            rows[classes] = -1;
        }
        for (int i = 0; i < rows.length; i++) {
            rows[i] = rows[i] < 0 ? texts.size() : rows[i];
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor index = Torch.of(rows).to(device);
            return new PromptRows(
                    prompt,
                    encoded(List.copyOf(texts.keySet()), encoder).stream()
                            .map(table -> withOther(table).indexSelect(0, index).retain())
                            .toList());
        }
    }

    private static List<Tensor> encoded(List<String> texts, Encoder encoder) {
        List<List<Tensor>> parts = new ArrayList<>();
        for (int from = 0; from < texts.size(); from += AT_ONCE) {
            try (TensorScope scope = TensorScope.open()) {
                parts.add(encoder.encode(texts.subList(from, Math.min(from + AT_ONCE, texts.size()))).stream()
                        .map(scope::keep)
                        .toList());
            }
        }
        List<Tensor> tables = new ArrayList<>();
        for (int i = 0; i < parts.getFirst().size(); i++) {
            int at = i;
            tables.add(Torch.cat(0, parts.stream().map(part -> part.get(at)).toArray(Tensor[]::new)));
        }
        return tables;
    }

    /** Adds the row of images without a text. */
    private static Tensor withOther(Tensor table) {
        Tensor other = Torch.full(
                table.dtype().isFloatingPoint() ? Double.NaN : 0,
                table.dtype(),
                table.device(),
                table.shape().from(1).prepend(1).toArray());
        return Torch.cat(0, table, other);
    }

    /** Returns the rows of a batch's texts, in the innermost open scope. */
    List<Tensor> at(String reward, Condition condition, long items) {
        if (!prompt.isPerClass()) {
            return tables.stream()
                    .map(table -> table.expand(table.shape().from(1).prepend(items)))
                    .toList();
        }
        Tensor labels = condition
                .labels()
                .orElseThrow(() -> new IllegalArgumentException("reward " + reward + ": the prompt " + prompt
                        + " has a {} for the class's name, and the images have no labels: give a prompt without {}"));
        Preconditions.checkArgument(
                labels.dtype() == DType.INT64 && labels.dim() == 1 && labels.size(0) == items,
                "reward %s: labels are %s, expected int64 (%s)",
                reward,
                labels,
                items);
        return tables.stream().map(table -> table.indexSelect(0, labels)).toList();
    }

    @Override
    public void close() {
        tables.forEach(Tensor::close);
    }
}
