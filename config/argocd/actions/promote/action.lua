-- Go on from this step, past its pause, its approval and its gates.
local rollout = obj.status.rollout
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["apps.scalableapp.dev/action"] =
  "promote:" .. rollout.candidate.revision .. ":" .. (rollout.attempt or 0) .. ":" .. (rollout.step or 0)
return obj
