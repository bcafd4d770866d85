package org.metaflowmaps.models.vision.text;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import java.util.List;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/**
 * The tokens of several texts.
 *
 * @param ids (texts, context) int64
 * @param mask (texts, context) int64: 1 for tokens, 0 for padding
 */
public record TokenBatch(Tensor ids, Tensor mask) {
    private static final int LONGEST_CONTEXT = 1 << 16;

    static void checkContext(int context) {
        Preconditions.checkArgument(
                context >= 2 && context <= LONGEST_CONTEXT,
                "context is %s, expected 2, for the start and the end token, to %s",
                context,
                LONGEST_CONTEXT);
    }

    static TokenBatch of(List<int[]> rows, int context, int padding) {
        Preconditions.checkArgument(!rows.isEmpty(), "there is no text: pass at least one");
        long[] ids = new long[Math.multiplyExact(rows.size(), context)];
        long[] mask = new long[ids.length];
        Arrays.fill(ids, padding);
        for (int i = 0; i < rows.size(); i++) {
            int[] row = rows.get(i);
            for (int j = 0; j < row.length; j++) {
                ids[i * context + j] = row[j];
                mask[i * context + j] = 1;
            }
        }
        return new TokenBatch(Torch.of(ids, rows.size(), context), Torch.of(mask, rows.size(), context));
    }
}
