-- Go on to the end, past all steps and gates; pods and traffic still count.
local rollout = obj.status.rollout
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["apps.scalableapp.dev/action"] =
  "promote-full:" .. rollout.candidate.revision .. ":" .. (rollout.attempt or 0)
return obj
