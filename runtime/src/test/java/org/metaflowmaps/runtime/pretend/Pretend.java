package org.metaflowmaps.runtime.pretend;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * A test class that runs on {@link PretendCuda}: in a process of its own with libtorch's CUDA build,
 * {@code mvn -Pcuda-dry-run test}. Skipped, with the reason, where that is not possible.
 */
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@Tag("pretend")
@ExtendWith(Pretend.Installed.class)
public @interface Pretend {
    /** Installs the device before the first test. */
    final class Installed implements ExecutionCondition {
        @Override
        public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
            return PretendCuda.install()
                    .map(reason -> ConditionEvaluationResult.disabled("no pretend CUDA: " + reason))
                    .orElseGet(() -> ConditionEvaluationResult.enabled("pretend CUDA"));
        }
    }
}
